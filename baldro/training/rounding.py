"""Stochastic rounding: bf16 weights that keep an update on average which rounding to nearest would lose.

bf16 has 8 significant bits. What an Adam step adds to a weight is often less than half a unit in its last place, which is 2^-9 to 2^-8
of the weight (at a learning rate of 1e-5 that is so for all weights above 0.004): to nearest, the weight stays where it is, step after
step. Rounded up with the probability that makes the mean exact, it moves in some of the steps (Gupta et al. 2015, arXiv 1502.02551;
for training in bf16 Zamirai et al. 2020, arXiv 2010.06192).
"""

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

LOST = 16
"""Last bits of a float32 that bf16 does not have; sign, exponent and the first bits are the same."""


def stochastic(values: Tensor, u: Tensor) -> Tensor:
    """Round float32 to the bf16 value below or above, so that the mean is the value: x + u is cut off, u uniform over the gap.

    Floats of one sign are in the order of their bits read as integers, one integer a float. So u is a whole number below 2^16, added to
    the bits and cut off with the last 16: it carries with the probability (last bits) / 2^16. What bf16 holds has no last bits and
    stays, as do infinities and torch's NaN.

    Args:
        u: of the values' shape, int32, as `draw` has them.
    """
    return values.view(torch.int32).add(u).bitwise_and_(-1 << LOST).view(torch.float32).bfloat16()


def draw(like: Tensor) -> Tensor:
    """A whole number below 2^16 for each element of a tensor, from the default generator of its device.

    Of a tensor that is split over devices, each draws for all and takes its share, so that the number of devices does not matter.
    """
    u = torch.randint(1 << LOST, like.shape, dtype=torch.int32, device=like.device)
    return (
        distribute_tensor(u, like.device_mesh, like.placements, src_data_rank=None) if isinstance(like, DTensor) else u
    )


class Rounded:
    """An optimiser's step on bf16 weights: it updates a float32 copy of one weight at a time, which is rounded stochastically.

    Comes before the optimiser's class (`rounded`). The optimiser sees float32 alone, so its moments are float32, or 8 bits of it: in bf16
    the second moment, which decays by 0.1 % a step, would stand still for the reason that weights do.

    Draws from the default generators: seeded before each step, steps repeat, and a checkpoint needs no random state.
    """

    param_groups: list[dict[str, Any]]
    state: dict[Tensor, Any]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update. It uses the gradients up."""
        places = [(group["params"], i) for group in self.param_groups for i in range(len(group["params"]))]
        held = [(listed, i, listed[i], listed[i].grad) for listed, i in places if listed[i].grad is not None]
        self.zero_grad()
        for listed, i, weight, grad in held:
            listed[i] = copy = weight.detach().float()
            copy.grad = grad.float()
            self.state[copy] = self.state.pop(weight, {})
            super().step()  # of this copy alone: nothing else has a gradient
            self.state[weight], listed[i] = self.state.pop(copy), weight
            own, updated, u = (_local(each) for each in (weight, copy, draw(weight)))
            own.copy_(stochastic(updated, u) if own.dtype == torch.bfloat16 else updated)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The optimiser's own, with float32 in the weights' places: to their type torch would cast the moments."""
        weights = [list(group["params"]) for group in self.param_groups]
        for group in self.param_groups:
            group["params"][:] = [torch.empty(0, dtype=torch.float32, device=p.device) for p in group["params"]]
        super().load_state_dict(state_dict)
        for group, own in zip(self.param_groups, weights, strict=True):
            for copy, weight in zip(group["params"], own, strict=True):
                if copy in self.state:
                    self.state[weight] = self.state.pop(copy)
            group["params"][:] = own


def _local(tensor: Tensor) -> Tensor:
    """The tensor, or of one that is split over devices this device's share."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def rounded(kind: type[Optimizer]) -> type[Optimizer]:
    """The class of an optimiser with its weights rounded stochastically."""
    return type(f"Rounded{kind.__name__}", (Rounded, kind), {})
