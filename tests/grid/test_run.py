"""A run's id is canonical, readable, and gives the run back."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baldro.errors import BaldroError
from baldro.grid import FIELDS, HYPERPARAMETERS, OBJECTIVES, VARIANTS, Run
from baldro.grid.methods import RETAINING, TRAINING

POINT = dict(benchmark="tofu", model="tiny", split="forget10", objective="npo")
SENSIBLE = {
    "lr": [1e-5, 5e-5, 1e-4, 3e-4, 1, 1e-12],
    "dv_beta": [0.5, 1, 2, 2.0, 5, 10, 1e20, 0.1 + 0.2],
    "max_steps": [1, 2, 10**6],
    "g_fraction": [0.25, 0.5, 0.75, 1, 1.0],
    "simnpo_delta": [-1, 0, 0.5],
}
DEFAULTS = dict(
    lr=1e-5, epochs=5, max_steps=None, batch_size=32, weight_decay=0.01, warmup_epochs=1, schedule="linear",
    clip_norm=1, precision="fp32", forget_weight=1, retain_weight=1, retain_normalisation="token-mean", npo_beta=0.1,
    simnpo_beta=4.5, simnpo_delta=0, satimp_beta1=5, satimp_beta2=1, dv_beta=2, dv_direction="hard", dv_level="sample",
    g_fraction=0.5, g_rank="loss", g_retain="whole", robust_scope="batch", micro_batch_size=8, seed=0,
)  # fmt: skip


def values(name: str) -> st.SearchStrategy:
    """Allowed values of a field, numbers as int, float or text."""
    spec = FIELDS[name]
    if "choices" in spec:
        return st.sampled_from(spec["choices"])
    if name in SENSIBLE:
        numbers = st.sampled_from(SENSIBLE[name])
    elif spec["kind"] is int:
        numbers = st.integers(spec["at_least"], 2**31)
    else:
        numbers = st.floats(0.001, 1e6) | st.integers(1, 100)
    return numbers | numbers.map(repr)


@st.composite
def runs(draw) -> Run:
    given_values = draw(st.fixed_dictionaries({}, optional={name: values(name) for name in HYPERPARAMETERS}))
    point = {name: draw(st.sampled_from(["a", "tofu-800", "SmolLM2.x_1", "forget10"])) for name in list(POINT)[:3]}
    objective, variant = draw(st.sampled_from(list(OBJECTIVES))), draw(st.sampled_from(list(VARIANTS)))
    if not OBJECTIVES[objective].tokens:
        given_values.pop("dv_level", None)
    return Run.of(**point, objective=objective, variant=variant, **given_values)


@given(run=runs())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_an_id_names_its_run_and_is_a_safe_path(run):
    assert Run.parse(run.id) == run
    assert Run.of(**run.asdict()) == run
    assert re.fullmatch(r"[A-Za-z0-9._=+-]+", run.id)
    assert [name for name in run.hyperparameters() if f"--{name}={DEFAULTS[name]}--" in f"{run.id}--"] in (
        [],
        ["forget_weight"],  # simnpo and satimp have a default of their own
    )


def test_the_id_of_a_sensible_run_is_short_enough_for_a_file_name():
    run = Run.of(**POINT, variant="baldro-dv", lr=5e-5, epochs=10, batch_size=16, seed=1, dv_beta=5, npo_beta=0.5)
    assert run.id == (
        "tofu--tiny--forget10--npo--baldro-dv--lr=5e-05--epochs=10--batch_size=16--npo_beta=0.5--dv_beta=5--seed=1"
    )
    assert len(run.id) < 255


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_a_default_is_part_of_every_id_that_leaves_it_out(name):
    """Change one and results of before stand under the new meaning's name: this table is not to be edited."""
    assert FIELDS[name]["default"] == DEFAULTS.get(name, FIELDS[name]["default"])


def test_defaults_of_objectives_are_part_of_ids_too():
    own = {name: dict(method.defaults) for name, method in OBJECTIVES.items() if method.defaults}
    assert {"simnpo": {"forget_weight": 0.125}, "satimp": {"forget_weight": 0.1}}.items() <= own.items()
    assert Run.of(**{**POINT, "objective": "simnpo"}).forget_weight == 0.125
    assert Run.of(**{**POINT, "objective": "simnpo"}, forget_weight=1).id.endswith("--simnpo--forget_weight=1")


def test_an_id_does_not_mention_a_field_at_its_default():
    """So a new field with a default leaves every id as it is."""
    assert Run.of(**POINT).id == "tofu--tiny--forget10--npo"
    for name, value in Run.of(**POINT, variant="baldro-g").hyperparameters().items():
        assert Run.of(**POINT, variant="baldro-g", **{name: value}).id == "tofu--tiny--forget10--npo--baldro-g"


@pytest.mark.parametrize(
    "ways",
    [
        dict(lr=[0.0005, "5e-4", "0.0005", "5E-04", 5e-4]),
        dict(dv_beta=[1, 1.0, "1", "1.0", "1e0"]),
        dict(seed=[3, 3.0, "3", "3.0"]),
    ],
)
def test_a_number_is_written_one_way(ways):
    (name, written), *_ = ways.items()
    made = {Run.of(**POINT, variant="baldro-dv", **{name: value}) for value in written}
    assert len(made) == len({run.id for run in made}) == 1


def test_the_default_is_left_out_however_it_is_written():
    assert {Run.of(**POINT, lr=lr).id for lr in (1e-5, "1e-5", 0.00001)} == {"tofu--tiny--forget10--npo"}


def test_what_does_not_matter_is_dropped():
    assert len({Run.of(**POINT, dv_beta=beta) for beta in (0.5, 1, 2, 5, 10)}) == 1
    assert len({Run.of(**POINT, variant="baldro-dv", dv_beta=beta) for beta in (0.5, 1, 2, 5, 10)}) == 5
    assert len({Run.of(**POINT, simnpo_beta=beta, satimp_beta1=beta) for beta in (1, 2)}) == 1
    assert Run.of(**POINT, variant="baldro-g", micro_batch_size=1).micro_batch_size is None
    released = Run.of(**POINT, variant="baldro-g", robust_scope="micro-batch", micro_batch_size=1)
    assert released.id.endswith("--robust_scope=micro-batch--micro_batch_size=1")
    assert Run.of(**{**POINT, "objective": "gradascent"}, variant="baldro-g", g_retain="cut").g_retain is None
    for objective in ("original", "retain"):
        run = Run.of(**{**POINT, "objective": objective}, variant="baldro-dv", lr=1, seed=5)
        assert run.id == f"tofu--tiny--forget10--{objective}"
        assert run.hyperparameters() == {}


def test_a_fact_about_a_method_names_a_field():
    mentioned = {*TRAINING, *RETAINING, *(f for fields in VARIANTS.values() for f in fields)}
    mentioned |= {f for method in OBJECTIVES.values() for f in (*method.fields, *method.defaults)}
    assert mentioned | {"micro_batch_size"} == set(HYPERPARAMETERS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tofu--tiny--forget10--npo--lr=1e-05", "canonical id of its run; allowed: 'tofu--tiny--forget10--npo'"),
        ("tofu--tiny--forget10--npo--lr=5e-4", "allowed: 'tofu--tiny--forget10--npo--lr=0.0005'"),
        ("tofu--tiny--forget10--npo--seed=1--lr=0.1", "allowed: 'tofu--tiny--forget10--npo--lr=0.1--seed=1'"),
        ("tofu--tiny--forget10--npo--base", "allowed: 'tofu--tiny--forget10--npo'"),
        ("tofu--tiny--forget10--npo--dv_beta=5", "allowed: 'tofu--tiny--forget10--npo'"),
        ("tofu--tiny--forget10--npo--baldro-dv--dv_beta=5.0", "--dv_beta=5'"),
        ("tofu--tiny--forget10", "is not a run id"),
        ("", "is not a run id"),
        ("tofu--tiny--forget10--npoo", "unknown objective 'npoo' (did you mean npo?)"),
        ("tofu--tiny--forget10--npo--baldro-dw", "unknown variant 'baldro-dw'"),
        ("tofu--tiny--forget10--npo--beta=5", "unknown field 'beta'"),
        ("tofu--tiny--forget10--npo--lr=fast", "lr is 'fast'; allowed: a number above 0"),
        ("tofu--tiny--forget10--npo--lr=nan", "allowed: a number above 0"),
        ("tofu--tiny--forget10--npo--lr=inf", "allowed: a number above 0"),
        ("tofu--tiny--forget10--npo--lr=", "allowed: a number above 0"),
        ("tofu--../etc--forget10--npo", "cannot be part of a run id"),
        ("--tiny--forget10--npo", "cannot be part of a run id"),
    ],
)
def test_an_id_that_is_not_canonical_is_refused_in_one_line(text, said):
    with pytest.raises(BaldroError) as caught:
        Run.parse(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a--b", "a/b", "a b", "", "-a", "a-", ".", "..", "é", "a=b"])
@pytest.mark.parametrize("part", ["benchmark", "model", "split"])
def test_a_name_that_would_break_an_id_is_refused(part, name):
    with pytest.raises(BaldroError, match="cannot be part of a run id"):
        Run.of(**{**POINT, part: name})


@pytest.mark.parametrize(
    ("field", "value"),
    [("lr", 0), ("lr", True), ("lr", [1]), ("batch_size", 2.5), ("batch_size", 0), ("seed", -1), ("g_fraction", 1.1),
     ("dv_beta", "0"), ("dv_beta", float("nan")), ("schedule", "Linear"), ("dv_level", "token"), ("seed", "1_0x")],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused(field, value):
    with pytest.raises(BaldroError, match=rf"{field}.*allowed: "):
        Run.of(**POINT, variant="baldro-dv", **{field: value})
