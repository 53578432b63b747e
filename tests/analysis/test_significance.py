"""One correction for several tests, for comparisons and attribution alike."""

from hypothesis import given
from hypothesis import strategies as st

from baldro.analysis.significance import corrected, direction
from baldro.stats import holm

TESTS = st.lists(st.tuples(st.none() | st.floats(0, 1), st.sampled_from("abc")))


@given(TESTS)
def test_each_family_is_corrected_by_itself_and_what_was_not_tested_counts_for_nothing(tests):
    p_values, families = [p for p, _ in tests], [family for _, family in tests]
    found = corrected(p_values, families)
    assert [p is None for p in found] == [p is None for p in p_values]
    for family in set(families):
        own = [p for p, name in tests if name == family and p is not None]
        if own:
            assert [p for p, (q, name) in zip(found, tests, strict=True) if name == family and q is not None] == (
                holm(own).tolist()
            )


def test_a_direction_follows_the_metric():
    assert [direction("model_utility", d) for d in (0.1, -0.1)] == ["better", "worse"]
    assert [direction("forget_quality_d", d) for d in (0.1, -0.1)] == ["worse", "better"]
    assert [direction("privleak", d) for d in (0.1, -0.1)] == ["higher", "lower"]
