import numpy as np
import pytest

from baldro.errors import BaldroError
from baldro.stats.arrays import finite_matrix, finite_vector


def test_numbers_pass_as_float64():
    vector = finite_vector([1, 2], "x")
    assert vector.dtype == np.float64
    assert vector.tolist() == [1.0, 2.0]
    assert finite_matrix(np.float32([[1, 2]]), "x").shape == (1, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"x: shape \(0,\)"),
        ([[1.0]], r"x: shape \(1, 1\); needs 1 dimension and"),
        (1.0, r"x: .*"),
        ([1.0, float("nan")], "x: NaN or infinite at position 1"),
        ([float("inf")], "position 0"),
        (["a"], "x: not an array of numbers"),
        ([[1.0], [1.0, 2.0]], "x: not an array of numbers"),
        ([None], "x: "),
    ],
)
def test_anything_else_is_refused_by_name(values, message):
    with pytest.raises(BaldroError, match=message):
        finite_vector(values, "x")


def test_a_matrix_names_row_and_column():
    with pytest.raises(BaldroError, match="position 1, 0"):
        finite_matrix([[1.0, 2.0], [np.nan, 1.0]], "x")
