"""Hidden states -> logits as a model's own forward pass has them: output embeddings, then the scale or cap of some architectures.

Shape legend: N rows, H width, V vocabulary.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baldro.errors import BaldroError

Change = Callable[[Tensor], Tensor]

MULTIPLIED = ("logit_scale", "output_multiplier")
"""Fields of a config by which logits are multiplied: Cohere's, Muse's."""
SCALING = "logits_scaling"
"""Field by which logits are divided (the Granites), or multiplied (`TIMES`)."""
TIMES = ("hyperclovax",)
CAP = "final_logit_softcapping"
"""Field with c of c tanh(logits / c) (Gemma 2 report, arXiv 2408.00118, section 2), which follows a scale."""


class Head:
    """A model's output head: called with hidden states (N, H), it returns logits (N, V).

    Args:
        linear: the output embeddings.
        behind: functions of the logits, applied in order.
    """

    def __init__(self, linear: Callable[[Tensor], Tensor], behind: Sequence[Change], *, out_features: int):
        self.linear, self.behind, self.out_features = linear, tuple(behind), out_features

    def __call__(self, hidden_NH: Tensor) -> Tensor:
        return self.change(self.linear(hidden_NH))

    def change(self, logits_NV: Tensor) -> Tensor:
        """The model's logits from the output embeddings' product."""
        for one in self.behind:
            logits_NV = one(logits_NV)
        return logits_NV


def head(model: nn.Module) -> Head:
    """The head of a model, with the weights as training moves them; `check` compares it with the model's own.

    Raises:
        BaldroError: the model has none.
    """
    linear = _linear(model)
    return Head(linear, behind(model.config), out_features=len(linear.weight))


def frozen(model: nn.Module) -> Head:
    """A copy of the head, which training does not move."""
    linear = _linear(model)
    bias = None if getattr(linear, "bias", None) is None else _copy(linear.bias)
    copy = partial(F.linear, weight=_copy(linear.weight), bias=bias)
    return Head(copy, behind(model.config), out_features=len(linear.weight))


def _copy(weight: Tensor) -> Tensor:
    """A copy; of a weight that is split over devices the whole one."""
    return weight.detach().full_tensor() if hasattr(weight, "full_tensor") else weight.detach().clone()


def _linear(model: nn.Module) -> nn.Module:
    found = model.get_output_embeddings()
    if found is None:
        raise BaldroError(
            "no-output-head", f"{type(model).__name__} has no output embeddings; allowed: models with them"
        )
    return found


def behind(config: Any) -> list[Change]:
    """Functions that an architecture applies to its logits by its config, in the order and precision of its own forward pass."""
    text = config.get_text_config()

    def of(name: str) -> Any:
        return getattr(text, name, None)

    changes: list[Change] = [partial(_times, of(name)) for name in MULTIPLIED if of(name) not in (None, 1)]
    if of(SCALING) not in (None, 1):
        change = _times if any(text.model_type.startswith(name) for name in TIMES) else _over
        changes.append(partial(change, of(SCALING)))
    if of(CAP) is not None:
        changes.append(partial(_cap, of(CAP)))
    return changes


def _times(scale: float, logits_NV: Tensor) -> Tensor:
    return logits_NV * scale


def _over(scale: float, logits_NV: Tensor) -> Tensor:
    return logits_NV / scale


def _cap(cap: float, logits_NV: Tensor) -> Tensor:
    return torch.tanh(logits_NV / cap) * cap


@torch.no_grad()
def check(model: nn.Module, start: str) -> None:
    """Check that `head` on the body's hidden states is the model's own forward pass.

    The output embeddings are watched: what goes into them must be what the body gives, and a spread of logits put in place of what comes
    out of them must leave the model as it leaves `Head.change`.

    Raises:
        BaldroError: an architecture that changes its hidden states before the output head, or its logits behind it in another way.
    """
    ids_BL = torch.arange(1, 5)[None]
    own, seen = head(model), {}

    def into(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen["hidden"] = inputs[0]

    def out(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        seen["spread"] = torch.linspace(-7, 7, output.numel()).sinh().to(output).view_as(output)  # to +-548, dense at 0
        return seen["spread"]

    hooks = [own.linear.register_forward_pre_hook(into), own.linear.register_forward_hook(out)]
    try:
        theirs = model(input_ids=ids_BL, use_cache=False).logits
    finally:
        for hook in hooks:
            hook.remove()
    body = model.base_model(input_ids=ids_BL, use_cache=False).last_hidden_state
    if "hidden" not in seen or not _close(seen["hidden"], body):
        raise BaldroError(
            "unknown-change-of-hidden-states",
            f"{start}: {type(model).__name__} changes hidden states before its output head; allowed: architectures that do not",
        )
    if not _close(own.change(seen["spread"]), theirs):
        raise BaldroError(
            "unknown-change-of-logits",
            f"{start}: {type(model).__name__} changes its logits in an unknown way; allowed: not at all, or by "
            f"{', '.join((*MULTIPLIED, SCALING, CAP))} of the config",
        )


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a.float(), b.float(), atol=1e-3, rtol=1e-3, equal_nan=True)
