"""A forget batch and a retain batch -> one update, whatever the micro-batch and the number of devices.

The losses of the whole effective batch give the weights of its samples (`baldro.methods.variants`), and both halves' gradients one update
(`baldro.methods.combiners`). Dropout, where there is any, is drawn by piece and device; where a pass without gradients finds the
weights, it is without dropout too. A file a part: what a step is given and says (`parts`), what the reference made of the sequences
(`reference`), the forward pass (`forward`), what a retained token costs (`losses`), how a half of the batch is weighed (`half`), the two
halves (`halves`), their gradients (`gradients`), the step (`step`).
"""

from baldro.training.update.parts import DeviceGroup, Sample, StepLog
from baldro.training.update.reference import ReferenceCache, cache_reference
from baldro.training.update.step import Step

__all__ = ["DeviceGroup", "ReferenceCache", "Sample", "Step", "StepLog", "cache_reference"]
