"""Statistics under relabellings for `swap_test`: how two methods differ where some samples' values are swapped between them."""

from collections.abc import Callable, Sequence

import numpy as np

ROUNDING = 1e-9
"""Values in [0, 1] that differ by no more are the same."""
Differences = Callable[[np.ndarray], np.ndarray]
"""(R, N) booleans, true where the two methods' values of a sample are swapped -> (R,) one method's statistic - the other's."""


def distances(robust: np.ndarray, base: np.ndarray, retain: np.ndarray) -> Differences:
    """Of the mean over seeds of D between a method's (S, N) values and the retain model's (M,).

    D is the largest gap of two distribution functions. Retain's is constant between its points and the other one rises,
    so the gap is largest at a point of Retain or just below one: only there it is counted. What is counted is M N times
    the gap, a whole number; counts of a relabelling are those of the data and, by one matrix product, what the swapped
    samples change.
    """
    points, (seeds, size) = np.sort(retain), robust.shape
    exact = np.float32 if len(points) * size < 2**24 else np.float64  # whole numbers up to there
    sides = []
    for side, other in (("left", "right"), ("right", "left")):
        # A value counts from the first point that is not below it; just below points, from the first that is above it.
        first = [np.searchsorted(points, values, side=side).T[..., None] for values in (robust, base)]
        ours, theirs = ((at <= np.arange(len(points))).reshape(size, -1) for at in first)
        expected = np.tile(np.searchsorted(points, points, side=other) * size, seeds)
        gaps = [len(points) * each.sum(axis=0) - expected for each in (ours, theirs)]
        change = (theirs.astype(exact) - ours) * len(points)
        sides.append((change, *(gap.astype(exact) for gap in gaps)))

    def differences(swapped: np.ndarray) -> np.ndarray:
        swapped, largest = swapped.astype(exact), []
        changes = [swapped @ sides[0][0]]
        changes += changes if np.array_equal(sides[0][0], sides[1][0]) else [swapped @ sides[1][0]]
        for sign, gaps in ((1, [ours for _, ours, _ in sides]), (-1, [theirs for *_, theirs in sides])):
            at = [
                np.abs(gap + sign * change).reshape(len(swapped), seeds, -1)
                for gap, change in zip(gaps, changes, strict=True)
            ]
            largest.append(np.maximum(*(each.max(axis=2) for each in at)).mean(axis=1, dtype=float))
        return (largest[0] - largest[1]) / (len(points) * size)

    return differences


def utilities(sections: Sequence[tuple[np.ndarray, np.ndarray]]) -> Differences:
    """Of the mean over seeds of the harmonic mean of all means; each section: (parts, S, N) of the robust method, and of the base.

    Samples are numbered through: a section's after those of the sections before it.
    """
    ends = np.cumsum([robust.shape[-1] for robust, _ in sections])

    def differences(swapped: np.ndarray) -> np.ndarray:
        ours, theirs = [], []
        for (robust, base), own in zip(sections, np.split(swapped.astype(float), ends[:-1], axis=1), strict=True):
            change = np.tensordot(own, base - robust, axes=(1, 2)) / own.shape[1]  # (R, parts, S)
            ours.append(robust.mean(axis=-1) + change)
            theirs.append(base.mean(axis=-1) - change)
        return _harmonic(np.concatenate(ours, axis=1)) - _harmonic(np.concatenate(theirs, axis=1))

    return differences


def _harmonic(means: np.ndarray) -> np.ndarray:
    """(R, parts, S) -> (R,): the harmonic mean of each seed's, then the mean; a seed of which one mean is 0 has utility 0."""
    means = np.where(means < ROUNDING, 0.0, means)  # a 0 that has been swapped out and in again
    with np.errstate(divide="ignore", over="ignore"):
        return (means.shape[1] / (1 / means).sum(axis=1)).mean(axis=1)
