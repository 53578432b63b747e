"""Crossed factors: the runs of a method that differ in nothing but some fields and the seed, in every combination."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from baldro.errors import BaldroError, unknown
from baldro.runs.fields import HYPERPARAMETERS, IDENTITY, default

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Runs of one benchmark, model, split, objective, variant and parent, every level with every other and with every seed."""

    shared: Row
    """The identity, and the fields that all these runs have alike."""
    levels: Mapping[str, tuple[Any, ...]]
    """Factor -> its levels, first the reference: the field's default (the paper's form), otherwise the one named first."""
    seeds: tuple[Any, ...]
    rows: Mapping[tuple[Any, ...], Row]
    """(seed, level of each factor ...) -> run."""


def crossings(rows: Sequence[Row], factors: Sequence[str]) -> list[Crossing]:
    """Every crossing of two or more levels of one or more of the factors.

    rows: fields of unlearning runs, None where a field does not matter. A field that only some runs of a crossing have
    (micro_batch_size, where robust_scope is micro-batch) belongs to the level that it comes with.
    Errors: a factor that is no field, or varies nowhere; a combination that is not there, or twice.
    """
    for name in factors:
        if name not in HYPERPARAMETERS or name == "seed":
            raise unknown("factor", name, [each for each in HYPERPARAMETERS if each != "seed"], where="attribution")
    found = [
        crossing for group in _methods(rows) for part in _points(group, factors) for crossing in _cross(part, factors)
    ]
    for name in factors:
        if not any(name in crossing.levels for crossing in found):
            raise BaldroError(
                "factor-does-not-vary",
                f"attribution: no method has two values of {name!r} with all but the factors alike; allowed: an axis of several values",
            )
    return found


def _methods(rows: Sequence[Row]) -> list[list[Row]]:
    return _split(rows, (*IDENTITY, "parent"))


def _points(rows: list[Row], factors: Sequence[str]) -> list[list[Row]]:
    """Apart by the settings that are no factors, as far as all rows have them."""
    others = [name for name in HYPERPARAMETERS if name not in (*factors, "seed")]
    return _split(rows, [name for name in others if all(row.get(name) is not None for row in rows)])


def _split(rows: Sequence[Row], names: Sequence[str]) -> list[list[Row]]:
    parts: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        parts.setdefault(tuple(row.get(name) for name in names), []).append(row)
    return list(parts.values())


def _cross(rows: list[Row], factors: Sequence[str]) -> list[Crossing]:
    """The crossing of these rows, or nothing if no factor varies in them."""
    levels = {name: _levels(rows, name) for name in factors}
    levels = {name: own for name, own in levels.items() if len(own) > 1}
    if not levels:
        return []
    where = ", ".join(str(rows[0][name]) for name in IDENTITY)
    seeds = tuple(sorted({row["seed"] for row in rows}))
    cells: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = (row["seed"], *(row.get(name) for name in levels))
        if None in key:
            name = next(name for name in levels if row.get(name) is None)
            raise BaldroError(
                "factor-not-of-all",
                f"attribution: not every run of {where} has {name!r}; allowed: a field of all",
            )
        if key in cells:
            raise BaldroError(
                "crossing-has-doubles",
                f"attribution: {where} has {_words(levels, key)} twice, with different {_different(row, cells[key])!r}; allowed: once",
            )
        cells[key] = row
    for key in product(seeds, *levels.values()):
        if key not in cells:
            raise BaldroError(
                "crossing-incomplete",
                f"attribution: {where} lacks {_words(levels, key)}; allowed: all combinations",
            )
    shared = {name: value for name, value in rows[0].items() if all(row.get(name) == value for row in rows)}
    return [Crossing(shared=shared, levels=levels, seeds=seeds, rows=cells)]


def _levels(rows: list[Row], name: str) -> tuple[Any, ...]:
    there = list(dict.fromkeys(row[name] for row in rows if row.get(name) is not None))
    usual = default(name, rows[0]["objective"])
    return tuple(sorted(there, key=lambda value: value != usual))


def _words(levels: Row, key: tuple[Any, ...]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip([*levels, "seed"], [*key[1:], key[0]], strict=True))


def _different(one: Row, other: Row) -> str:
    return next((name for name in HYPERPARAMETERS if one.get(name) != other.get(name)), "id")
