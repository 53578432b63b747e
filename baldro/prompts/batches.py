"""Token sequences -> batches: which samples a step takes, in which order, and as tensors.

Shape legend: B samples, L positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from baldro.prompts.encode import Tokens


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Padded sequences. With the padding on the right no real token sees it, since attention is causal, and no mask is needed."""

    ids_BL: Tensor
    """Token ids; padding repeats id 0."""
    answer_BL: Tensor
    """True on answer tokens, the end of sequence included."""
    read_BL: Tensor | None = None
    """True on tokens, where the padding is on the left."""
    lengths: np.ndarray | None = None
    """Tokens of each row (B,), where the padding is on the right."""


def collate(sequences: Sequence[Tokens], device: torch.device | str = "cpu") -> Batch:
    """The sequences as one right-padded batch."""
    lengths = np.array([len(s.ids) for s in sequences])
    length = int(lengths.max())
    ids_BL = torch.zeros(len(sequences), length, dtype=torch.long)
    answer_BL = torch.zeros(len(sequences), length, dtype=torch.bool)
    for b, s in enumerate(sequences):
        ids_BL[b, : len(s.ids)] = torch.tensor(s.ids)
        answer_BL[b, s.start : len(s.ids)] = True
    return Batch(ids_BL=ids_BL.to(device), answer_BL=answer_BL.to(device), lengths=lengths)


def collate_left(sequences: Sequence[Tokens], device: torch.device | str, *, width: int, filling: int) -> Batch:
    """The sequences with padding on the left, as released RMU has it.

    Args:
        width: positions, at least those of the longest sequence.
        filling: id of the padding.
    """
    ids_BL = torch.full((len(sequences), width), filling)
    answer_BL = torch.zeros(len(sequences), width, dtype=torch.bool)
    read_BL = torch.zeros(len(sequences), width, dtype=torch.bool)
    for b, s in enumerate(sequences):
        begin = width - len(s.ids)
        ids_BL[b, begin:] = torch.tensor(s.ids)
        answer_BL[b, begin + s.start :] = read_BL[b, begin:] = True
    return Batch(ids_BL=ids_BL.to(device), answer_BL=answer_BL.to(device), read_BL=read_BL.to(device))


def draw(n: int, *, start: int, count: int, seed: int, stream: int) -> list[int]:
    """`count` of `n` samples from position `start` of an endless sequence of permutations: each sample once before any comes twice.

    A function of its arguments alone, so that a resumed run sees what an undisturbed one sees.

    Args:
        stream: keeps apart what is drawn for different purposes (forget, retain) under one seed.
    """
    result: list[int] = []
    while len(result) < count:
        lap, offset = divmod(start + len(result), n)
        order = np.random.default_rng([seed, stream, lap]).permutation(n)
        result += order[offset : offset + count - len(result)].tolist()
    return result


def by_length(sequences: Sequence[Tokens], *, tokens: int, at_most: int | None = None) -> list[list[int]]:
    """Indices in batches of similar length, longest first (so that too little memory shows at once).

    Args:
        tokens: padded tokens per batch, at most (one sequence may exceed it).
        at_most: sequences per batch.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(sequences)), key=lambda i: -len(sequences[i].ids)):
        full = batches and (
            (len(batches[-1]) + 1) * len(sequences[batches[-1][0]].ids) > tokens
            or (at_most is not None and len(batches[-1]) == at_most)
        )
        if not batches or full:
            batches.append([])
        batches[-1].append(i)
    return batches
