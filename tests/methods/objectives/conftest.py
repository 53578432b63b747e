"""Samples with random logits, and the token statistics that a forward pass would make of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from baldro.methods.objectives import TokenStats

V, H = 7, 5
EVERYTHING = ("reference", "reference_logits", "activations", "idk")
IDENTITY = torch.nn.Identity()


@dataclass(frozen=True)
class Sample:
    """One answer: what predicts its T tokens, in float64."""

    y: np.ndarray
    """(T,) ids of the answer."""
    z: np.ndarray
    """(T, V) logits of the policy."""
    r: np.ndarray
    """(T, V) logits of the reference."""
    h: np.ndarray
    """(T, H) hidden states behind some layer."""
    win: "Sample | None" = None
    """The other answer to the same question."""


def sample(rng: np.random.Generator, length: int, *, scale: float, other: bool = True) -> Sample:
    z, r = rng.normal(size=(2, length, V)) * scale
    win = sample(rng, 1 + length % 3, scale=scale, other=False) if other else None
    return Sample(y=rng.integers(V, size=length), z=z, r=r, h=rng.normal(size=(length, H)), win=win)


@dataclass
class Given:
    """Token statistics, and the leaves that have gradients: the flat logits of answers and other answers, and the hidden states."""

    stats: TokenStats
    z_NV: torch.Tensor
    h_BTH: torch.Tensor
    win: "Given | None" = None

    @property
    def leaves(self) -> dict[str, torch.Tensor]:
        return {"z": self.z_NV, "h": self.h_BTH} | ({"win": self.win.z_NV} if self.win else {})


def padded(rows: Sequence[np.ndarray], width: int, filling: float) -> np.ndarray:
    return np.stack([np.concatenate([row, np.full((width - len(row), *row.shape[1:]), filling)]) for row in rows])


def reference_logp(sample: Sample) -> np.ndarray:
    r = sample.r[np.arange(len(sample.y)), sample.y]
    return r - np.log(np.exp(sample.r - sample.r.max(1, keepdims=True)).sum(1)) - sample.r.max(1)


def give(
    samples: Sequence[Sample],
    needs: Sequence[str] = EVERYTHING,
    *,
    dtype: torch.dtype = torch.float64,
    columns: int = 0,
    filling: float = 0.0,
    head: Any = IDENTITY,
    reference_head: Any = IDENTITY,
) -> Given:
    """What a forward pass makes of samples; logits stand for hidden states, and the head hands them on.

    Args:
        columns: more of them than the longest answer has tokens.
        filling: what stands where the mask is False.
        head, reference_head: instead of those which hand logits on.
    """
    width = max(len(one.y) for one in samples) + columns
    mask_BT = torch.tensor([[t < len(one.y) for t in range(width)] for one in samples])

    def leaf(values: np.ndarray) -> torch.Tensor:
        return torch.tensor(values, dtype=dtype, requires_grad=True)

    z_NV = leaf(np.concatenate([one.z for one in samples]))
    h_BTH = leaf(padded([one.h for one in samples], width, filling))
    more: dict[str, Any] = {}
    if "reference" in needs:
        logp_BT = padded([reference_logp(one) for one in samples], width, filling)
        more["reference_BT"] = torch.tensor(logp_BT, dtype=dtype)
    if "reference_logits" in needs:
        reference_NV = torch.tensor(np.concatenate([one.r for one in samples]), dtype=dtype)
        more |= {"reference_hidden_NH": reference_NV, "reference_head": reference_head}
    if "activations" in needs:
        more["activation_BTH"] = h_BTH
    win = None
    if {"idk", "alternates"} & set(needs):
        plain = [need for need in needs if need == "reference"]
        win = give([one.win for one in samples], plain, dtype=dtype, columns=columns, filling=filling, head=head)
        more["alternate"] = win.stats
    target_N = torch.tensor(np.concatenate([one.y for one in samples]))
    stats = TokenStats(mask_BT=mask_BT, hidden_NH=z_NV, target_N=target_N, head=head, **more)
    return Given(stats, z_NV, h_BTH, win)


@pytest.fixture(scope="session", name="give")
def _give() -> Any:
    """(samples, needs) -> token statistics and their leaves."""
    return give


@pytest.fixture(scope="session")
def draw() -> Any:
    """(seed, lengths of the answers) -> samples."""

    def samples(seed: int, lengths: Sequence[int] = (3, 1, 5), *, scale: float = 1.5) -> list[Sample]:
        rng = np.random.default_rng(seed)
        return [sample(rng, length, scale=scale) for length in lengths]

    return samples


@pytest.fixture(scope="session")
def gradients() -> Any:
    """(loss, leaves of Given) -> name -> gradient, zeros of what the loss does not depend on."""

    def of(loss: torch.Tensor, given: Given) -> dict[str, torch.Tensor]:
        found = torch.autograd.grad(loss, list(given.leaves.values()), allow_unused=True, materialize_grads=True)
        return dict(zip(given.leaves, found, strict=True))

    return of
