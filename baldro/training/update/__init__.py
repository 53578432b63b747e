"""A forget batch and a retain batch -> one update, whatever the micro-batch and the number of devices.

The losses of the whole effective batch give the weights of its samples (`baldro.methods.variants`), and both halves' gradients one update
(`baldro.methods.combiners`). Dropout, where there is any, is drawn by piece and device; where a pass without gradients finds the
weights, it is without dropout too. A file a part: what a step is given and says (`parts`), what the reference made of the sequences
(`memory`), the forward pass (`forward`), what a retained token costs (`losses`), how a half of the batch is weighed (`side`), the two
halves (`sides`), their gradients (`gradients`), the step (`step`).
"""

from baldro.training.update.memory import Memory, remember
from baldro.training.update.parts import Peers, Sample, Seen
from baldro.training.update.step import Step

__all__ = ["Memory", "Peers", "Sample", "Seen", "Step", "remember"]
