"""The gradients of a step: one in `.grad` for a weighted sum, or one each of forget and retain for a combiner that needs both.

Apart they are accumulated in float32 where `.grad` itself is coarser (bf16 weights): a projection divides small differences.
A parameter that neither half's loss depends on (RMU: behind its layer) has no gradient, whatever the pieces, devices and combiner: with
one of zeros the optimiser would still decay it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baldro.training.update.parts import DeviceGroup


class Gradients:
    """Accumulates what backward passes leave in `.grad`, over pieces and devices.

    Args:
        apart: True if `take` will be called: then bf16 gradients go on to float32 after every backward pass.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, devices: DeviceGroup, apart: bool):
        self.parameters, self.devices = list(parameters), devices
        self.wide = apart and any(p.dtype in (torch.bfloat16, torch.float16) for p in self.parameters)
        self.sums: list[Tensor | None] = [None] * len(self.parameters)
        self.touched = [False] * len(self.parameters)

    def collect(self) -> None:
        """Add what a backward pass left in `.grad`; to be called after each."""
        if not self.wide:
            return
        for i, parameter in enumerate(self.parameters):
            if parameter.grad is not None:
                grad, sum_ = parameter.grad.float(), self.sums[i]
                self.sums[i] = grad if sum_ is None else sum_.add_(grad)
                parameter.grad = None

    def scale(self, factor: float) -> None:
        """Scale what was accumulated since the last `take`."""
        for held in (*self.sums, *(parameter.grad for parameter in self.parameters)):
            if held is not None:
                held.mul_(factor)

    def take(self) -> list[Tensor]:
        """Return what was accumulated, summed over devices, and begin at 0 again."""
        taken = []
        for i, parameter in enumerate(self.parameters):
            held = self.sums[i] if self.wide else parameter.grad
            self.touched[i] |= held is not None
            held = torch.zeros_like(parameter, dtype=torch.float32 if self.wide else None) if held is None else held
            if self.devices.split:
                taken.append(held.to_local())  # summed by the backward pass; a device has its share
            else:
                taken.append(self.devices.total(held) if self.devices.size > 1 else held)
            self.sums[i] = parameter.grad = None
        return taken

    def put(self, update: Sequence[Tensor]) -> None:
        """Put an update into `.grad`, where clipping and the optimiser find it."""
        for parameter, grad, touched in zip(self.parameters, update, self._touched_anywhere(), strict=True):
            parameter.grad = self._as(parameter, grad.to(parameter.dtype)) if touched else None
        self.touched = [False] * len(self.parameters)

    def share(self) -> None:
        """Sum `.grad` over devices; of a split model the backward passes have."""
        if self.devices.size == 1 or self.devices.split:
            return
        self.touched = [parameter.grad is not None for parameter in self.parameters]
        for parameter, touched in zip(self.parameters, self._touched_anywhere(), strict=True):
            if touched:
                grad = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                parameter.grad = self.devices.total(grad)
        self.touched = [False] * len(self.parameters)

    def _as(self, parameter: nn.Parameter, local: Tensor) -> Tensor:
        """A device's share of an update, split as the parameter is."""
        if not self.devices.split:
            return local
        from torch.distributed.tensor import DTensor

        shape = dict(shape=parameter.shape, stride=parameter.stride())
        return DTensor.from_local(local, parameter.device_mesh, parameter.placements, **shape)

    def _touched_anywhere(self) -> list[bool]:
        """Whether a backward pass of any device has reached each parameter."""
        return (self.devices.total(torch.tensor(self.touched, dtype=torch.float32)) > 0).tolist()
