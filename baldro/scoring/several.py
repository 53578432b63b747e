"""Scoring in several processes, one a device: each takes a share of the rows, and all have the results of all in the end.

A model that is split over the devices (`baldro.training.shards`) gathers its weights from all of them for every forward pass, so all
must run equally many: a process that has finished its rows runs empty passes until the last one has.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def place() -> tuple[int, int]:
    """This process's number among those that score together, and how many they are: all of torch's process group, if there is one."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def share(costs: Sequence[float]) -> list[int]:
    """Indices of the rows that this process takes, in order: the costliest first, each goes to whoever has least so far.

    Args:
        costs: of each row, more than 0; the same in every process.
    """
    rank, size = place()
    shares: list[tuple[float, int, list[int]]] = [(0.0, each, []) for each in range(size)]
    for i in sorted(range(len(costs)), key=lambda i: -costs[i]):
        load, each, rows = shares[0]
        rows.append(i)
        heapq.heapreplace(shares, (load + costs[i], each, rows))
    return sorted(next(rows for _, each, rows in shares if each == rank))


def of_all(own: Mapping[Any, Any]) -> dict[Any, Any]:
    """The results of all processes' rows; every process takes part, and gets them."""
    if place()[1] == 1:
        return dict(own)
    found: list[Any] = [None] * place()[1]
    torch.distributed.all_gather_object(found, dict(own))
    return {key: value for part in found for key, value in part.items()}


def is_split(model: nn.Module) -> bool:
    """Whether each process holds a share of the model's weights."""
    return hasattr(model, "run_body")


@contextmanager
def in_step(model: nn.Module) -> Iterator[None]:
    """A block in which each process runs the passes that its rows take; of a split model, all run equally many."""
    if not is_split(model):
        yield
        return
    from baldro.training.shards import let_go

    device, run_body = next(model.parameters()).device, model.run_body

    def anyone(works: bool) -> bool:
        number = torch.tensor(float(works), device=device)
        torch.distributed.all_reduce(number)
        return bool(number)

    def counted(**inputs: Any) -> torch.Tensor:
        anyone(True)
        return run_body(**inputs)

    def empty() -> None:
        with torch.inference_mode(False), torch.no_grad():
            run_body(input_ids=torch.zeros(1, 1, dtype=torch.long, device=device), use_cache=False)

    empty()  # gathered weights keep the kind of memory of the first pass, and those of inference mode can have no gradients
    model.run_body = counted
    try:
        yield
        while anyone(False):
            empty()
        let_go(model)
    finally:
        model.run_body = run_body
