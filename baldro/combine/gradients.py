"""The gradients of a step: one in `.grad` for a weighted sum, or forget's and retain's apart for a combiner that needs both.

Apart they are accumulated in float32 where `.grad` itself is coarser (bf16 weights): a projection divides small differences.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baldro.combine.parts import Peers


class Gradients:
    """What backward passes leave, whatever the pieces and devices.

    Args:
        apart: True if `take` will be called: then bf16 gradients go on to float32 after every backward pass.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, peers: Peers, apart: bool):
        self.parameters, self.peers = list(parameters), peers
        self.wide = apart and any(p.dtype in (torch.bfloat16, torch.float16) for p in self.parameters)
        self.sums: list[Tensor | None] = [None] * len(self.parameters)

    def collect(self) -> None:
        """After a backward pass."""
        if not self.wide:
            return
        for i, parameter in enumerate(self.parameters):
            if parameter.grad is not None:
                grad, sum_ = parameter.grad.float(), self.sums[i]
                self.sums[i] = grad if sum_ is None else sum_.add_(grad)
                parameter.grad = None

    def scale(self, factor: float) -> None:
        """Scale all that has been accumulated and not taken."""
        for held in (*self.sums, *(parameter.grad for parameter in self.parameters)):
            if held is not None:
                held.mul_(factor)

    def take(self) -> list[Tensor]:
        """What has been accumulated, summed over devices; nothing is left."""
        taken = []
        for i, parameter in enumerate(self.parameters):
            held = self.sums[i] if self.wide else parameter.grad
            held = torch.zeros_like(parameter, dtype=torch.float32 if self.wide else None) if held is None else held
            taken.append(self.peers.total(held) if self.peers.size > 1 else held)
            self.sums[i] = parameter.grad = None
        return taken

    def put(self, update: Sequence[Tensor]) -> None:
        """An update, which clipping and the optimiser then find in `.grad`."""
        for parameter, grad in zip(self.parameters, update, strict=True):
            parameter.grad = grad.to(parameter.dtype)

    def share(self) -> None:
        """Sum `.grad` over devices."""
        if self.peers.size > 1:
            for parameter in self.parameters:
                grad = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                parameter.grad = self.peers.total(grad)
