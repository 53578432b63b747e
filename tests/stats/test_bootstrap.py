"""Intervals over samples of means, harmonic means and AUCs: against scipy, and by how often they cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused
from scipy.stats import bootstrap, hmean, mannwhitneyu, norm

from baldro.stats import Interval, bootstrap_auc, bootstrap_harmonic, bootstrap_leak, bootstrap_mean

relaxed = settings(max_examples=25)

# Multiples of 1/64: sums that should be equal are, whatever their order.
COARSE = st.lists(st.integers(0, 64).map(lambda k: k / 64), min_size=2, max_size=20)
SEEDS = st.integers(0, 1000)


def ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def coverage(interval, truth: float, repetitions: int = 300) -> float:
    intervals = [interval(seed) for seed in range(repetitions)]
    return float(np.mean([i.low <= truth <= i.high for i in intervals]))


@relaxed
@given(COARSE, SEEDS)
def test_the_mean_and_its_ends_are_ordered_and_within_the_values(values, seed):
    interval = bootstrap_mean(values, seed=seed, n=99)
    assert min(values) <= interval.low <= interval.mean <= interval.high <= max(values)
    assert (interval.mean, interval.n) == (pytest.approx(np.mean(values)), len(values))


@relaxed
@given(COARSE, SEEDS, st.sampled_from([0.5, 1.0, 8.0]), st.integers(-8, 8))
def test_the_means_interval_scales_and_shifts_with_the_values(values, seed, scale, shift):
    plain = bootstrap_mean(values, seed=seed, n=99)
    moved = bootstrap_mean(scale * np.array(values) + shift, seed=seed, n=99)
    assert ends(moved) == pytest.approx([scale * end + shift for end in ends(plain)], abs=1e-9)


@relaxed
@given(COARSE, SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(values, seed, random):
    other = random.sample(values, len(values))
    assert bootstrap_mean(values, seed=seed, n=99) == bootstrap_mean(other, seed=seed, n=99)
    rows, columns = np.array([values, np.square(values) + 0.1]), random.sample(range(len(values)), len(values))
    one, two = (bootstrap_harmonic([group, [[0.2, 0.4]]], seed=seed, n=99) for group in (rows, rows[:, columns]))
    assert one == two
    assert bootstrap_auc(values, [0.5, 0.25, 1], seed=seed, n=99) == bootstrap_auc(
        other, [1, 0.25, 0.5], seed=seed, n=99
    )


@relaxed
@given(COARSE, COARSE, SEEDS)
def test_auc_is_scipys_and_blind_to_the_scale_of_scores(members, others, seed):
    interval = bootstrap_auc(members, others, seed=seed, n=99)
    u = mannwhitneyu(others, members, method="asymptotic").statistic if len({*members, *others}) > 1 else None
    assert interval.mean == pytest.approx(0.5 if u is None else u / (len(members) * len(others)), abs=1e-12)
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1
    assert interval == bootstrap_auc(np.exp(members), np.exp(others), seed=seed, n=99)


@relaxed
@given(COARSE, COARSE, SEEDS)
def test_the_harmonic_mean_is_scipys(first, second, seed):
    groups = [np.array([first, first[::-1]]) + 0.1, np.array([second]) + 0.01]
    interval = bootstrap_harmonic(groups, seed=seed, n=99)
    assert interval.mean == pytest.approx(hmean(np.concatenate([group.mean(axis=1) for group in groups])))
    assert interval.low <= interval.mean <= interval.high
    assert interval.n == len(first) + len(second)


def test_one_row_of_one_group_is_the_mean():
    values = np.random.default_rng(0).beta(1, 3, size=60)
    alone, mean = bootstrap_harmonic([[values]], seed=3), bootstrap_mean(values, seed=3)
    assert (alone.mean, *ends(alone)) == pytest.approx((mean.mean, *ends(mean)))


def test_a_groups_rows_are_redrawn_together():
    """Two rows that cancel sample by sample: their sum never moves, and the harmonic mean of equal means hardly."""
    row = np.random.default_rng(0).uniform(0.3, 0.7, size=200)
    together = bootstrap_harmonic([[row, 1 - row]], seed=0)
    apart = bootstrap_harmonic([[row], [1 - row]], seed=0)
    assert together.high - together.low < 0.2 * (apart.high - apart.low)


def test_a_mean_of_zero_makes_the_harmonic_mean_zero():
    """Two samples of which one part is 0: with a mean of 1 - .025^(1/2) both are 0 once in forty."""
    found = bootstrap_harmonic([[[0.0, 0.0], [0.5, 0.7]]], seed=0)
    assert (found.mean, found.low, found.n) == (0, 0, 2)
    assert found.high == pytest.approx(hmean([1 - 0.025**0.5, 0.6]))
    assert bootstrap_harmonic([[[0.0, 0.9, 0.0, 0.0]]], seed=0).low == 0


def wins(members, others, axis=-1):
    places = np.sort(others, axis=-1), members  # (n, M), (n, N)
    above = (places[0][..., None, :] > places[1][..., :, None]).mean(axis=(-1, -2))
    return above


@pytest.mark.parametrize("what", ["mean", "auc"])
def test_ends_are_those_of_scipys_bca(what):
    """scipy has normal levels where ours are t's: at this N they differ by less than the redraws do."""
    random = np.random.default_rng(4)
    data = (random.gamma(0.5, size=150),) if what == "mean" else (random.normal(size=120), random.normal(2, 1, 150))
    ours = bootstrap_mean(*data, seed=1, n=8000) if what == "mean" else bootstrap_auc(*data, seed=1, n=8000)
    theirs = bootstrap(
        data, np.mean if what == "mean" else wins, method="BCa", n_resamples=2000, rng=2, vectorized=True, batch=50
    ).confidence_interval
    assert ends(ours) == pytest.approx((theirs.low, theirs.high), abs=0.08 * (ours.high - ours.low))


def test_skewness_moves_both_ends_towards_the_long_tail():
    """A percentile interval of these is nearly symmetric; the corrections are what sets the ends further right."""
    values = np.random.default_rng(0).gamma(0.3, size=60)
    drawn = np.random.default_rng(1).choice(values, size=(4000, 60)).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    ours = bootstrap_mean(values, seed=0)
    assert ours.low > low
    assert ours.high > high


def test_the_mean_covers_as_often_as_its_docstring_says():
    random = np.random.default_rng(0)  # a Beta(.5, 3) is skewed: mean 1/7
    share = coverage(lambda seed: bootstrap_mean(random.beta(0.5, 3, 40), seed=seed, n=400), 1 / 7, 500)
    assert 0.91 <= share <= 0.98


@pytest.mark.parametrize(("auc", "low", "high"), [(0.5, 0.92, 0.99), (0.9, 0.92, 0.99), (0.999, 0.95, 1.0)])
def test_the_auc_covers_as_often_as_its_docstring_says(auc, low, high):
    random, apart = np.random.default_rng(0), np.sqrt(2) * norm.ppf(auc)
    draw = lambda: (random.normal(size=40), random.normal(size=40) + apart)  # noqa: E731
    assert low <= coverage(lambda seed: bootstrap_auc(*draw(), seed=seed, n=400), auc) <= high


def test_the_harmonic_mean_covers_as_often_as_its_docstring_says():
    random = np.random.default_rng(0)
    truth = 3 / (1 / 0.25 + 1 / 0.5 + 1 / 0.75)

    def interval(seed):
        level = random.uniform(size=(1, 40))  # shared: probability and ROUGE of a sample go together
        section = np.concatenate([level**3, level])  # means 1/4 and 1/2
        return bootstrap_harmonic([section, random.beta(3, 1, size=(1, 40))], seed=seed, n=400)

    assert 0.91 <= coverage(interval, truth, 400) <= 0.985


def test_separated_scores_leave_room_for_the_next():
    interval = bootstrap_auc(np.arange(10), np.arange(10, 30), seed=0, level=0.9)
    assert (interval.mean, interval.high) == (1, 1)
    assert interval.low**10 == pytest.approx(0.05)  # ten pairs in a row still right, one time in twenty
    mirrored = bootstrap_auc(np.arange(10, 30), np.arange(10), seed=0, level=0.9)
    assert (mirrored.mean, mirrored.low, mirrored.high) == (0, 0, pytest.approx(1 - interval.low))


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: bootstrap_mean(np.arange(12) % 5, **options),
        lambda **options: bootstrap_auc(np.arange(12) % 5, np.arange(10) % 7, **options),
        lambda **options: bootstrap_harmonic([[np.arange(12) % 5 + 1]], **options),
    ],
)
def test_a_seed_fixes_the_redraws_and_a_higher_level_is_wider(make):
    assert make(seed=3) == make(seed=3)
    wide, narrow = make(seed=3, level=0.99), make(seed=3, level=0.5)
    assert wide.low < narrow.low <= narrow.mean <= narrow.high < wide.high
    one = make(seed=3, n=1)
    assert one.low <= one.mean <= one.high


def test_one_sample_has_no_interval_and_equal_samples_no_width():
    assert bootstrap_mean([0.4], seed=0) == Interval(mean=0.4, low=None, high=None, n=1)
    assert bootstrap_auc([0.4], [0.5, 0.3], seed=0) == Interval(mean=0.5, low=None, high=None, n=3)
    assert bootstrap_harmonic([[[0.4]], [[0.4, 0.4]]], seed=0).low is None
    assert bootstrap_mean([0.25] * 7, seed=0) == Interval(mean=0.25, low=0.25, high=0.25, n=7)
    assert bootstrap_auc([1, 1], [1, 1], seed=0) == Interval(mean=0.5, low=0.5, high=0.5, n=4)


def test_the_leak_is_that_of_the_areas_and_of_nothing_against_itself():
    random = np.random.default_rng(0)
    members, others = random.normal(0, 1, (2, 60)), random.normal(0.7, 1, (2, 50))
    model, reference = (bootstrap_auc(m, o, seed=0).mean for m, o in zip(members, others, strict=True))
    found = bootstrap_leak(members, others, seed=0)
    assert found.mean == pytest.approx((reference - model) / (1 - reference)) and found.low < found.mean < found.high
    own = bootstrap_leak(members[[0, 0]], others[[0, 0]], seed=0)
    assert (own.mean, own.low, own.high) == (0, 0, 0)
    apart = bootstrap_leak(np.array([[1, 2, 3.0], [1, 2, 3.0]]), np.array([[4, 5, 6.0], [4, 5, 6.0]]), seed=0)
    assert apart.low is None, "the reference tells every pair: the ratio has no bound"


def test_the_leak_covers_where_a_known_reference_would_not():
    """Members and others of both models redrawn, 100 times at N = 40; with the reference taken as known it covers a third."""
    random, hits = np.random.default_rng(1), 0
    truth = [norm.cdf(shift / np.sqrt(2)) for shift in (-2.0, 0.5)]
    value = (truth[1] - truth[0]) / (1 - truth[1])
    for repetition in range(100):
        members, others = random.normal(0, 1, (2, 40)), random.normal(0, 1, (2, 40)) + np.array([[-2.0], [0.5]])
        found = bootstrap_leak(members, others, seed=repetition, n=400)
        hits += found.low <= value <= found.high
    assert hits >= 85


@pytest.mark.parametrize(("value", "size"), [(0.0, 12), (1.0, 5), (0.25, 40)])
def test_equal_samples_within_a_range_leave_room_for_others(value, size):
    """The ends by their meaning: of the worst population that has them as its mean, N samples are all alike once in forty."""
    ends = bootstrap_mean([value] * size, seed=0, within=(0, 1))
    for mean, end in ((ends.high, 1.0), (ends.low, 0.0)):
        if end != value:
            share = (end - mean) / (end - value)  # of samples that are as those seen, if the others lie at the end
            assert share**size == pytest.approx(0.025, rel=1e-9)
    assert ends.low <= value <= ends.high and ends.mean == value
    assert bootstrap_mean([value], seed=0, within=(0, 1)).low is None
    with refused("out-of-range", "bootstrap_mean", "0 to 2", "0 to 1"):
        bootstrap_mean([0.0, 2.0], seed=0, within=(0, 1))


@pytest.mark.parametrize(
    ("call", "code", "facts"),
    [
        (lambda: bootstrap_mean([], seed=0), "wrong-shape", ["bootstrap_mean"]),
        (lambda: bootstrap_mean([0.5, np.nan], seed=0), "not-finite", ["bootstrap_mean", "position 1"]),
        (lambda: bootstrap_mean([0.5], seed=0, n=0), "too-few-redraws", ["bootstrap_mean", "n = 0"]),
        (lambda: bootstrap_mean([0.5], seed=0, level=95), "bad-level", ["95"]),
        (lambda: bootstrap_auc([np.inf], [0.5], seed=0), "not-finite", ["bootstrap_auc"]),
        (lambda: bootstrap_auc([0.1], [], seed=0), "wrong-shape", ["bootstrap_auc"]),
        (lambda: bootstrap_harmonic([], seed=0), "no-groups", ["bootstrap_harmonic"]),
        (lambda: bootstrap_harmonic([[0.1, 0.2]], seed=0), "wrong-shape", ["group 0"]),
        (lambda: bootstrap_harmonic([[[0.1]], [[np.nan, 1]]], seed=0), "not-finite", ["group 1", "position 0, 0"]),
        (lambda: bootstrap_harmonic([[[0.1, -0.5]]], seed=0), "out-of-range", ["group 0", "-0.5"]),
    ],
)
def test_errors(call, code, facts):
    with refused(code, *facts):
        call()
