"""A forget batch and a retain batch -> one update, whatever the micro-batch and the number of devices.

The losses of the whole effective batch give the weights of its samples (`baldro.methods.variants`), and both halves' gradients one update
(`baldro.methods.combiners`). Dropout, where there is any, is drawn by piece and device; where a pass without gradients finds the
weights, it is without dropout too. Each part has a file: inputs, device group and step log (`parts`), the
reference cache (`reference`), the forward pass (`forward`), the retain losses (`losses`), the weights of a half of the batch (`half`), the
two halves (`halves`), what is weighed together (`scopes`), gradients (`gradients`), the step (`step`).
"""

from baldro.training.update.parts import DeviceGroup, Sample, StepLog
from baldro.training.update.reference import ReferenceCache, cache_reference
from baldro.training.update.step import Step

__all__ = ["DeviceGroup", "ReferenceCache", "Sample", "Step", "StepLog", "cache_reference"]
