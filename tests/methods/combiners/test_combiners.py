"""Every combiner against explicit projections, finite differences and autograd in float64, and what holds for any gradients."""

import sys
from math import inf, isnan, nan
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from refusals import refused

from baldro.methods import combiners
from baldro.methods.combiners import dot, function, mix, share
from baldro.methods.declared import declared

relaxed = settings(max_examples=25)

UPDATES = ["sum", "blur", "blur-upper", "blur-wmdp"]
PROJECTING = UPDATES[1:]
SHAPES = st.lists(st.sampled_from([(), (1,), (3,), (2, 3), (0,), (2, 1, 2)]), min_size=1, max_size=4)
NUMBERS = st.floats(-100, 100, width=32, allow_subnormal=False)
WEIGHTS = st.floats(0, 1000)


@st.composite
def pairs(draw, dtypes=(torch.float32, torch.float64), zeros=True):
    """Two gradients of the same shapes."""
    shapes, dtype = draw(SHAPES), draw(st.sampled_from(dtypes))
    sizes = [int(np.prod(shape)) for shape in shapes]
    both = [
        [
            torch.tensor(draw(st.lists(NUMBERS, min_size=n, max_size=n)), dtype=dtype).view(s)
            for s, n in zip(shapes, sizes, strict=True)
        ]
        for _ in range(2)
    ]
    if not zeros:
        assume(all(np.linalg.norm(flat(one)) > 1e-3 for one in both))
    return both


def flat(gradient):
    return np.concatenate([x.numpy().astype(np.float64).ravel() for x in gradient])


def copy(gradient):
    return [x.clone() for x in gradient]


def vectors(*numbers):
    return [torch.tensor(numbers, dtype=torch.float64)]


def update(name, forget, retain, gamma=1.0, lam=1.0):
    """The update, of copies."""
    kind, combine = function(name)
    assert kind == "update"
    return combine(copy(forget), copy(retain), gamma=gamma, lam=lam)


def off(direction):
    """The matrix that takes a direction out of a vector."""
    norm = np.linalg.norm(direction)
    unit = direction / norm if norm else direction
    return np.eye(len(unit)) - np.outer(unit, unit)


EXPECTED = {
    "sum": lambda f, r, gamma, lam: gamma * f + lam * r,
    "blur": lambda f, r, gamma, lam: gamma * f + lam * off(f) @ r,
    "blur-upper": lambda f, r, gamma, lam: gamma * off(r) @ f + lam * r,
    "blur-wmdp": lambda f, r, gamma, lam: gamma * f + lam * off(f) @ r,
}


def precision(gradient, *, exact=1e-11):
    return 1e-6 if gradient[0].dtype == torch.float32 else exact


# Updates ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UPDATES)
@relaxed
@given(pair=pairs(), gamma=WEIGHTS, lam=WEIGHTS)
def test_update_is_the_flattened_and_projected_one(name, pair, gamma, lam):
    forget, retain = pair
    got, f, r = update(name, forget, retain, gamma, lam), flat(forget), flat(retain)
    size = gamma * np.linalg.norm(f) + lam * np.linalg.norm(r)
    np.testing.assert_allclose(
        flat(got), EXPECTED[name](f, r, gamma, lam), rtol=0, atol=size * precision(forget) + 1e-30
    )
    assert [x.shape for x in got] == [x.shape for x in retain] and {x.dtype for x in got} == {retain[0].dtype}


@pytest.mark.parametrize(
    "name, expected", [("sum", [6, 20]), ("blur", [2, 20]), ("blur-upper", [6, 20]), ("blur-wmdp", [2, 20])]
)
def test_worked_figures(name, expected):
    """g_f = (1, 0), g_r = (4/5, 4), gamma = 2, lam = 5: off g_f the retain gradient is (0, 4), off g_r the forget one 25/26 (1, -1/5)."""
    if name == "blur-upper":
        expected = [2 * 25 / 26 + 4, -2 * 5 / 26 + 20]
    assert flat(update(name, vectors(1, 0), vectors(0.8, 4), 2, 5)).tolist() == pytest.approx(expected)


ZEROS = [((0, 0), (3, 4)), ((3, 4), (0, 0)), ((0, 0), (0, 0))]
NOT_FINITE = [
    pair[::order]
    for bad in (inf, -inf, nan)
    for other in ((1, 2), (0, 0))
    for pair in [((bad, 1), other)]
    for order in (1, -1)
]


@pytest.mark.parametrize("name", UPDATES)
def test_a_gradient_of_zero_has_nothing_to_protect(name):
    for forget, retain in ZEROS:
        got = update(name, vectors(*forget), vectors(*retain), 2.0, 5.0)
        assert flat(got).tolist() == [2.0 * f + 5.0 * r for f, r in zip(forget, retain, strict=True)]


@pytest.mark.parametrize("name", UPDATES)
def test_what_is_not_finite_stays_so(name):
    for forget, retain in NOT_FINITE:
        assert not np.isfinite(flat(update(name, vectors(*forget), vectors(*retain)))).all(), (forget, retain)


@pytest.mark.parametrize("name", UPDATES)
def test_update_takes_the_retain_gradients_place(name):
    """No third gradient; also where a parameter's memory is transposed, or longer than what is in float64 at a time."""
    forget, retain = [torch.arange(6.0).view(2, 3).T, torch.ones(3)], [torch.ones(2, 3).T, -torch.ones(3)]
    expected, before, places = flat(update(name, forget, retain, 2, 3)), flat(forget), [x.data_ptr() for x in retain]
    got = function(name)[1](forget, retain, gamma=2, lam=3)
    assert [x.data_ptr() for x in got] == places and (flat(retain) == expected).all() and (flat(forget) == before).all()


@pytest.mark.parametrize("name", UPDATES)
def test_pieces_make_no_difference(name, monkeypatch):
    torch.manual_seed(0)
    forget, retain = [[torch.randn(5, 3), torch.randn(7), torch.randn(())] for _ in range(2)]
    whole = flat(update(name, forget, retain, 2, 3))
    monkeypatch.setattr(combiners, "PIECE", 4)
    np.testing.assert_allclose(flat(update(name, forget, retain, 2, 3)), whole, rtol=1e-6)


@pytest.mark.parametrize("name", PROJECTING)
def test_a_projection_neither_overflows_nor_cancels_in_float32(name):
    """A share of 1e42 is no float32; 800 times a retain gradient that is nearly the forget one leaves the little that differs."""
    tiny, large = [torch.tensor([1e-30, 0.0])], [torch.tensor([1e12, 1.0])]
    got = update(name, large, tiny) if name == "blur-upper" else update(name, tiny, large)
    assert flat(got)[1] == 1 and abs(flat(got)[0]) <= 1e-28 + 1e12 * 2**-52
    forget, retain = [torch.tensor([1.0, 1.0])], [torch.tensor([1.0, 1.0 + 2**-20])]
    if name != "blur-upper":
        np.testing.assert_allclose(flat(update(name, forget, retain, 0, 800)), [-800 * 2**-21, 800 * 2**-21], rtol=1e-6)


# Inner products --------------------------------------------------------------------------------------------------------------------------


@relaxed
@given(pair=pairs())
def test_dot_is_over_the_whole_model(pair):
    a, b = map(flat, pair)
    assert dot(*pair) == pytest.approx(float(a @ b), rel=1e-12, abs=1e-12 * np.linalg.norm(a) * np.linalg.norm(b))


def test_dot_multiplies_and_sums_in_float64():
    a, b = [torch.tensor([4097.0, 4097.0])], [torch.tensor([4097.0, -4096.0])]
    assert dot(a, b) == 4097  # products rounded to float32 would leave 4096


def test_share_of_nothing_is_zero_and_of_what_is_not_finite_nan():
    assert share(vectors(1, 2), vectors(0, 0)) == 0 and share(vectors(1, 2), vectors(2, 0)) == 0.5
    assert isnan(share(vectors(1, 2), vectors(nan, 1))) and isnan(share(vectors(1, 2), vectors(inf, 1)))


def test_gradients_of_different_models_are_refused():
    with pytest.raises(ValueError, match="zip"):
        dot(vectors(1), vectors(1) + vectors(2))
    with pytest.raises(ValueError, match="zip"):
        mix(vectors(1), vectors(1) + vectors(2), gamma=1, lam=1)


# UNO -------------------------------------------------------------------------------------------------------------------------------------


def uno(forget, retain):
    kind, penalty = function("uno")
    assert kind == "penalty"
    value, along_forget, along_retain = penalty(copy(forget), copy(retain))
    return value, flat(along_forget), flat(along_retain)


def squared_cosine(f, r):
    return (f @ r) ** 2 / ((f @ f) * (r @ r))


def differences(scalar, x):
    """Central differences of a function at x."""
    step = 1e-5 * np.linalg.norm(x)
    return np.array([(scalar(x + step * e) - scalar(x - step * e)) / (2 * step) for e in np.eye(len(x))])


@relaxed
@given(pair=pairs(dtypes=[torch.float64], zeros=False))
def test_uno_is_the_squared_cosine_and_its_derivatives(pair):
    f, r = map(flat, pair)
    value, along_f, along_r = uno(*pair)
    assert value == pytest.approx(squared_cosine(f, r), abs=1e-14) and -1e-14 <= value <= 1 + 1e-14
    for got, expected, x in (
        (along_f, differences(lambda x: squared_cosine(x, r), f), f),
        (along_r, differences(lambda x: squared_cosine(f, x), r), r),
    ):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-8 / np.linalg.norm(x))


@relaxed
@given(pair=pairs(zeros=False), scale=st.sampled_from([-8.0, -1.0, 0.25, 64.0]))
def test_uno_asks_for_directions_only(pair, scale):
    """Neither lengths nor signs matter; the derivative is across the gradient and shrinks as that grows."""
    forget, retain = pair
    value, along_f, along_r = uno(forget, retain)
    scaled, along_scaled_f, along_same_r = uno([scale * x for x in forget], retain)
    size_f, size_r = np.linalg.norm(flat(forget)), np.linalg.norm(flat(retain))
    assert scaled == pytest.approx(value, abs=1e-12)
    np.testing.assert_allclose(scale * along_scaled_f, along_f, rtol=0, atol=precision(forget) / size_f)
    np.testing.assert_allclose(along_same_r, along_r, rtol=0, atol=precision(forget) / size_r)
    assert along_f @ flat(forget) == pytest.approx(0, abs=precision(forget))
    assert along_r @ flat(retain) == pytest.approx(0, abs=precision(forget))


def test_products_with_the_two_hessians_are_the_gradient_of_the_penalty():
    torch.manual_seed(0)
    theta = torch.randn(4, dtype=torch.float64, requires_grad=True)
    A, B = torch.randn(2, 5, 4, dtype=torch.float64)
    f, r = (torch.autograd.grad(torch.sin(M @ theta).pow(2).sum(), theta, create_graph=True)[0] for M in (A, B))
    expected = torch.autograd.grad((f @ r) ** 2 / ((f @ f) * (r @ r)), theta, retain_graph=True)[0]
    _, along_forget, along_retain = function("uno")[1]([f.detach().clone()], [r.detach().clone()])
    got = torch.autograd.grad([f, r], theta, [along_forget[0], along_retain[0]])[0]
    torch.testing.assert_close(got, expected)


def test_there_is_no_angle_with_a_gradient_of_zero_and_it_is_nan_with_what_is_not_finite():
    for forget, retain in ZEROS:
        value, along_f, along_r = uno(vectors(*forget), vectors(*retain))
        assert value == 0 and not along_f.any() and not along_r.any()
    for forget, retain in NOT_FINITE:
        value, along_f, along_r = uno(vectors(*forget), vectors(*retain))
        assert isnan(value) and np.isnan(along_f).any() and np.isnan(along_r).any(), (forget, retain)


def test_uno_leaves_the_retain_gradient_to_the_caller():
    forget, retain = vectors(1, 2), vectors(2, -3)
    _, along_forget, along_retain = function("uno")[1](forget, retain)
    assert retain[0].tolist() == [2, -3]
    assert along_forget[0].data_ptr() == forget[0].data_ptr() and along_retain[0].data_ptr() != retain[0].data_ptr()


# The dual variable -----------------------------------------------------------------------------------------------------------------------

LAMS, RETAIN_LOSSES, EPSILONS, STEPS = st.floats(0, 1e3), st.floats(0, 50), st.floats(0, 10), st.floats(1e-3, 100)


def dual(lam, loss, *, epoch=0.0, **fields):
    kind, multiplier = function("dual")
    assert kind == "multiplier"
    return multiplier(lam, loss, epoch=epoch, **fields)


@pytest.mark.parametrize(
    "lam, loss, fields, expected",
    [
        (100, 0.5, {}, 101),
        (100, 0.1, {}, 99),
        (50, 1.75, dict(dual_epsilon=1.5, dual_step=1.0), 50.25),
        (0.5, 0.1, {}, 0),
        (100, 0.5, dict(dual_warmup_epochs=5, epoch=4.95), 100),
        (100, 0.5, dict(dual_warmup_epochs=5, epoch=5.0), 101),
    ],
)
def test_dual_steps(lam, loss, fields, expected):
    assert dual(lam, loss, **fields) == pytest.approx(expected)


@relaxed
@given(lam=LAMS, loss=RETAIN_LOSSES, epsilon=EPSILONS, step=STEPS)
def test_dual_is_never_negative_and_moves_with_what_is_above_the_bound(lam, loss, epsilon, step):
    after = dual(lam, loss, dual_epsilon=epsilon, dual_step=step)
    assert after >= 0
    assert (after >= lam) if loss >= epsilon else (after <= lam)
    assert dual(lam, epsilon, dual_epsilon=epsilon, dual_step=step) == lam


@relaxed
@given(lam=LAMS, more=LAMS, loss=RETAIN_LOSSES, higher=RETAIN_LOSSES, epsilon=EPSILONS, step=STEPS)
def test_dual_is_monotone(lam, more, loss, higher, epsilon, step):
    fields = dict(dual_epsilon=epsilon, dual_step=step)
    assert dual(min(lam, more), min(loss, higher), **fields) <= dual(max(lam, more), max(loss, higher), **fields)


def test_dual_of_a_loss_that_is_not_finite_is_not_finite():
    assert isnan(dual(100, nan)) and dual(100, inf) == inf


# Names -----------------------------------------------------------------------------------------------------------------------------------


def test_every_declared_combiner_has_the_function_that_the_grid_reads():
    methods = declared("combiners", "combiner")
    assert {*UPDATES, "uno", "dual"} <= set(methods)
    assert {name: function(name)[0] for name in methods} == {name: method.function for name, method in methods.items()}


@pytest.mark.parametrize("kinds", [[], ["update", "penalty"]])
def test_a_module_gives_one_of_three_things(kinds, monkeypatch):
    module = ModuleType("baldro.methods.combiners.made_up")
    for kind in kinds:
        setattr(module, kind, lambda: None)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with refused("not-one-function", "made-up", *kinds):
        function("made-up")
