import numpy as np
import pytest
from refusals import refused

from baldro.stats.arrays import finite_matrix, finite_vector


def test_numbers_pass_as_float64():
    vector = finite_vector([1, 2], "x")
    assert vector.dtype == np.float64
    assert vector.tolist() == [1.0, 2.0]
    assert finite_matrix(np.float32([[1, 2]]), "x").shape == (1, 2)


@pytest.mark.parametrize(
    ("values", "code", "facts"),
    [
        ([], "wrong-shape", ["x: ", "(0,)"]),
        ([[1.0]], "wrong-shape", ["(1, 1)", "1-dimensional"]),
        (1.0, "wrong-shape", []),
        ([1.0, float("nan")], "not-finite", ["x: ", "position 1"]),
        ([float("inf")], "not-finite", ["position 0"]),
        (["a"], "not-numbers", ["x: "]),
        ([[1.0], [1.0, 2.0]], "not-numbers", []),
        ([None], "not-finite", []),
    ],
)
def test_anything_else_is_refused_by_name(values, code, facts):
    with refused(code, *facts):
        finite_vector(values, "x")


def test_a_matrix_names_row_and_column():
    with refused("not-finite", "position 1, 0"):
        finite_matrix([[1.0, 2.0], [np.nan, 1.0]], "x")
