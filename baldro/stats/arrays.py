"""Numbers at the door of a metric: float64, of the right shape, nothing missing."""

import numpy as np
from numpy.typing import ArrayLike

from baldro.errors import BaldroError

ROUNDING = 1e-12  # relative: statistics closer than this are the same number, summed in another order


def finite_vector(values: ArrayLike, what: str) -> np.ndarray:
    """`values` as float64 of shape (N,), N >= 1.

    Raises BaldroError naming `what` (and the first bad position) when empty, of another shape, NaN or infinite.
    """
    return _finite(values, what, ndim=1)


def finite_matrix(values: ArrayLike, what: str) -> np.ndarray:
    """`values` as C-ordered float64 of shape (N, K), N and K >= 1; raises as `finite_vector` does."""
    return _finite(values, what, ndim=2)


def same_length(left: np.ndarray, right: np.ndarray, what: str) -> None:
    """Raise BaldroError unless both arrays have a row per sample, the same number of them."""
    if len(left) != len(right):
        raise BaldroError(
            "shapes-differ", f"{what}: {len(left)} and {len(right)} samples; both need one row per sample"
        )


def _finite(values: ArrayLike, what: str, *, ndim: int) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise BaldroError("not-numbers", f"{what}: not an array of numbers ({error})") from None
    if array.ndim != ndim or array.size == 0:
        raise BaldroError("wrong-shape", f"{what}: shape {array.shape}; allowed: {ndim}-dimensional, not empty")
    if not np.isfinite(array).all():
        position = ", ".join(str(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise BaldroError("not-finite", f"{what}: NaN or infinite at position {position}; every value must be finite")
    return array
