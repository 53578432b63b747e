"""A run's id is canonical, readable, and gives the run back."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from baldro.methods.catalogue import NO_OBJECTIVE
from baldro.runs import COMBINERS, FIELDS, HYPERPARAMETERS, KINDS, OBJECTIVES, STAGES, VARIANTS, Run, shape
from baldro.stages.stage import LORA, TRAINING
from baldro.stages.unlearn import RETAINING

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
    clip_norm=1, precision="fp32", optimiser="adamw", forget_weight=1, retain_weight=1, retain_normalisation="token-mean", npo_beta=0.1,
    forget_normalisation="sample-mean",
    simnpo_beta=4.5, simnpo_delta=0, satimp_beta1=5, satimp_beta2=1, dv_beta=2, dv_direction="hard", dv_level="sample",
    g_fraction=0.5, g_rank="loss", g_retain="whole", robust_scope="batch", micro_batch_size=8, seed=0,
    retain_loss="cross-entropy", retain_variant="base", combiner="sum", lora_rank=None, lora_alpha=32, lora_dropout=0,
    lora_start="random", lora_base="loaded", dpo_beta=0.1, rmu_layer=7, rmu_steering=2, tnpo_beta=4, tnpo_weight="detached", undial_beta=10,
    rmu_positions="answer", rmu_weights="all", rmu_topics="alternating",
    wga_beta=1, dual_epsilon=0.3, dual_step=5, dual_warmup_epochs=0, dv_rho=0.5, dv_beta_min=0.01, chi2_rho=1, cvar_alpha=0.5,
    topk_fraction=0.5, topk_temperature=1, retain_dv_beta=2, retain_dv_direction="hard", retain_dv_rho=0.5, retain_dv_beta_min=0.01,
    retain_g_fraction=0.5, retain_chi2_rho=1, retain_cvar_alpha=0.5, retain_topk_fraction=0.5, retain_topk_temperature=1,
    relearn_on="forget", checkpoint=None, quantised_to="nf4",
)  # fmt: skip
OWN = {
    "simnpo": dict(forget_weight=0.125),
    "satimp": dict(forget_weight=0.1),
    "rmu": dict(retain_loss="activations"),
    "pdu": dict(combiner="dual"),
    "dual": dict(retain_weight=100),
    "blur-wmdp": dict(retain_weight=800),
}
"""Objective or combiner -> defaults that it has instead."""


def values(name: str) -> st.SearchStrategy:
    """Allowed values of a field, numbers as int, float or text."""
    spec = FIELDS[name]
    if "choices" in spec:
        return st.sampled_from(spec["choices"])
    if spec["kind"] is str:
        return st.sampled_from(["NPO_lr1e-05", "b", "RMU-0.1"])
    if name in SENSIBLE:
        numbers = st.sampled_from(SENSIBLE[name])
    elif spec["kind"] is int:
        numbers = st.integers(spec["at_least"], 2**31)
    elif "at_most" in spec or "below" in spec:
        numbers = st.floats(0.001, 0.899)
    else:
        numbers = st.floats(0.001, 1e6) | st.integers(1, 100)
    return numbers | numbers.map(repr)


@st.composite
def runs(draw) -> Run:
    """Any objective, variant, combiner and fields, of which those that do not go together are left out."""
    given_values = draw(st.fixed_dictionaries({}, optional={name: values(name) for name in HYPERPARAMETERS}))
    point = {name: draw(st.sampled_from(["a", "tofu-800", "SmolLM2.x_1", "forget10"])) for name in list(POINT)[:3]}
    first = [name for name, kind in KINDS.items() if kind.parent != "required"]
    objective, variant = draw(st.sampled_from(first)), draw(st.sampled_from(list(VARIANTS)))
    method = OBJECTIVES.get(objective, NO_OBJECTIVE)
    if asked := KINDS[objective].asks:
        given_values.setdefault(asked, "a")
    if not method.tokens or given_values.get("combiner") == "uno":
        given_values.pop("dv_level", None)
    if "activations" not in method.needs and given_values.get("retain_loss") == "activations":
        del given_values["retain_loss"]
    if objective == "rmu" and given_values.get("rmu_positions") == "padded":
        for name in ("dv_level", "g_retain", "robust_scope", "forget_normalisation", "retain_normalisation"):
            given_values.pop(name, None)
    if objective == "rmu" and given_values.get("rmu_weights") == "down-proj":
        given_values.pop("lora_rank", None)
    if given_values.get("retain_normalisation", "token-mean") == "token-mean":
        given_values.pop("retain_variant", None)
    if not method.retains or given_values.get("lora_base") == "nf4":
        given_values.pop("lora_start", None)
    if float(given_values.get("dual_warmup_epochs", 0)) >= float(given_values.get("epochs", 5)):
        del given_values["dual_warmup_epochs"]
    return Run.of(**point, objective=objective, variant=variant, **given_values)


def usual(name: str, run: Run) -> object:
    """The default of a field, of the tables above."""
    return OWN.get(run.objective, {}).get(name, OWN.get(run.combiner, {}).get(name, DEFAULTS[name]))


@given(run=runs())
@settings(max_examples=200)
def test_an_id_names_its_run_and_is_a_safe_path(run):
    assert Run.parse(run.id) == run
    assert Run.of(**run.asdict()) == run
    assert re.fullmatch(r"[A-Za-z0-9._=+-]+", run.id)
    told = dict(part.split("=") for part in run.id.split("--") if "=" in part)
    here = run.hyperparameters()
    assert set(told) == {name for name, value in here.items() if value != usual(name, run)}
    assert list(told) == [name for name in HYPERPARAMETERS if name in told]
    assert {name: str(here[name]) for name in told} == told


@given(run=runs())
@settings(max_examples=200)
def test_a_run_has_the_fields_of_its_methods_and_no_others(run):
    """Written from what each method declares; whatever else was given is dropped."""
    method, here = run.method, set(run.hyperparameters()) - {"max_steps", "lora_rank"}
    forgets = run.objective in OBJECTIVES
    assert {name for name in here if name in {f for m in OBJECTIVES.values() for f in m.fields}} == set(method.fields)
    own = set(VARIANTS[run.variant].fields) if forgets else set()
    assert here & {f for v in VARIANTS.values() for f in v.fields} == own
    assert here & set(LORA) == (set(LORA) if run.lora_rank else set())
    averaged = forgets and method.tokens and run.dv_level != "token"
    assert ("forget_normalisation" in here) == averaged and ("robust_scope" in here) == forgets
    assert here & set(RETAINING) == (set(RETAINING) if method.retains else set())
    combined = set(COMBINERS[run.combiner].fields) if method.retains else set()
    assert here & {f for c in COMBINERS.values() for f in c.fields} == combined
    weighed = {f"retain_{f}" for f in VARIANTS[run.retain_variant].fields} if method.retains else set()
    assert here & {f"retain_{f}" for v in VARIANTS.values() for f in v.fields} == weighed
    assert (run.combiner is None) == (run.retain_variant is None) == (run.retain_loss is None) == (not method.retains)


@pytest.mark.parametrize(
    "id",
    [
        "fictional--tiny--forget10--npo",
        "fictional--tiny--forget10--npo--baldro-dv--lr=0.0003--seed=1",  # README
        "fictional--tiny--forget10--npo--baldro-dv--lr=0.0003--dv_beta=0.5--seed=1",
        "tofu--tiny--forget10--npo--baldro-dv--lr=5e-05--epochs=10--batch_size=16--npo_beta=0.5--dv_beta=5--seed=1",
        "tofu--tiny--forget10--simnpo--forget_weight=1--simnpo_beta=1--simnpo_delta=0.5",
        "fictional--tiny--forget10--satimp--baldro-g--lr=0.001--epochs=10--batch_size=8--forget_weight=5",
        "tofu--tiny--forget10--satimp--baldro-dv--satimp_beta1=6--satimp_beta2=2--dv_beta=3--dv_direction=easy--dv_level=token",
        "tofu--tiny--forget10--npo--baldro-g--g_fraction=0.25--g_rank=likelihood--g_retain=cut",
        "tofu--tiny--forget10--npo--baldro-g--robust_scope=micro-batch--micro_batch_size=1",
        "tofu--tiny--forget10--npo--baldro-dv--precision=bf16-only--retain_normalisation=token-sum--dv_direction=easy"
        "--robust_scope=micro-batch",
        "fictional--tiny--forget10--gradascent--max_steps=4--weight_decay=0--warmup_epochs=0--schedule=cosine--clip_norm=0",
        "few--nano--full--finetune--lr=0.002--epochs=2",
        "tofu--tiny--base--pretrain--seed=3",
        "tofu--tiny--forget10--original",
    ],
)
def test_ids_of_before_the_methods_were_modules_are_the_same(id):
    """Results stand under them."""
    assert Run.parse(id).id == id


@pytest.mark.parametrize(
    ("values", "end"),
    [
        (dict(combiner="blur"), "--combiner=blur"),
        (dict(combiner="sum", dual_step=1), ""),
        (dict(combiner="dual", dual_step=1, dual_epsilon=0.3), "--combiner=dual--dual_step=1"),
        (dict(combiner="dual", retain_weight=100), "--combiner=dual"),
        (dict(combiner="dual", retain_weight=1), "--retain_weight=1--combiner=dual"),
        (dict(retain_weight=1), ""),
        (dict(objective="pdu", retain_weight=100), ""),
        (dict(objective="pdu", combiner="dual"), ""),
        (dict(objective="pdu", combiner="sum", retain_weight=1), "--combiner=sum"),
        (dict(objective="rmu", retain_loss="activations", rmu_layer=7), ""),
        (dict(objective="rmu", retain_loss="kl", rmu_layer=2), "--retain_loss=kl--rmu_layer=2"),
        (dict(retain_loss="kl", rmu_layer=2), "--retain_loss=kl"),
        (dict(retain_cvar_alpha=0.25, cvar_alpha=0.25), ""),
        (dict(retain_normalisation="token-sum", retain_variant="cvar", retain_cvar_alpha=0.25, cvar_alpha=0.25),
         "--retain_normalisation=token-sum--retain_variant=cvar--retain_cvar_alpha=0.25"),
        (dict(variant="cvar", retain_cvar_alpha=0.25, cvar_alpha=0.25), "--cvar--cvar_alpha=0.25"),
        (dict(lora_alpha=64, lora_dropout=0.1, lora_start="fila"), ""),
        (dict(lora_rank=8, lora_alpha=64, lora_dropout=0.1, lora_start="fila"),
         "--lora_rank=8--lora_alpha=64--lora_dropout=0.1--lora_start=fila"),
        (dict(lora_base="nf4"), ""),
        (dict(lora_rank=8, lora_base="nf4"), "--lora_rank=8--lora_base=nf4"),
        (dict(lora_rank=8, lora_alpha=32.0, seed=1), "--lora_rank=8--seed=1"),
        (dict(objective="gradascent", combiner="blur", retain_loss="kl", retain_variant="cvar", lora_rank=8), "--lora_rank=8"),
        (dict(objective="finetune", combiner="blur", retain_loss="kl", lora_rank=8), "--lora_rank=8"),
        (dict(objective="original", combiner="blur", lora_rank=8), ""),
        (dict(objective="idkdpo", dpo_beta=0.2, npo_beta=3), "--dpo_beta=0.2"),
    ],
)  # fmt: skip
def test_a_field_is_in_the_id_where_it_matters_and_only_there(values, end):
    objective = values.get("objective", "npo")
    run = Run.of(**{**POINT, **values})
    assert run.id == f"tofu--tiny--forget10--{objective}{end}"
    assert Run.parse(run.id) == run


def test_the_id_of_a_sensible_run_is_short_enough_for_a_file_name():
    run = Run.of(**POINT, variant="baldro-dv", lr=5e-5, epochs=10, batch_size=16, seed=1, dv_beta=5, npo_beta=0.5)
    assert run.id == (
        "tofu--tiny--forget10--npo--baldro-dv--lr=5e-05--epochs=10--batch_size=16--npo_beta=0.5--dv_beta=5--seed=1"
    )
    assert len(run.id) < 255


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_a_default_is_part_of_every_id_that_leaves_it_out(name):
    """Change one and results of before stand under the new meaning's name: this table is not to be edited, a new field added."""
    assert FIELDS[name]["default"] == DEFAULTS[name]


def test_defaults_of_methods_are_part_of_ids_too():
    methods = {**OBJECTIVES, **COMBINERS}
    assert {name: dict(method.defaults) for name, method in methods.items() if method.defaults} == OWN
    assert Run.of(**{**POINT, "objective": "simnpo"}).forget_weight == 0.125
    assert Run.of(**{**POINT, "objective": "simnpo"}, forget_weight=1).id.endswith("--simnpo--forget_weight=1")
    dual = Run.of(**{**POINT, "objective": "pdu"})
    assert (dual.combiner, dual.retain_weight, dual.dual_step) == ("dual", 100, 5)


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
    token_mean = dict(forget_normalisation="token-mean")
    assert Run.of(**POINT, **token_mean) == Run.of(**POINT), "NPO's loss is no mean over tokens"
    assert Run.of(**{**POINT, "objective": "wga"}, **token_mean).id.endswith("--wga--forget_normalisation=token-mean")
    tokens = dict(objective="wga", variant="baldro-dv", dv_level="token")
    assert Run.of(**{**POINT, **tokens}, **token_mean).forget_normalisation is None, "each token has its own weight"
    for objective in ("original", "retain"):
        run = Run.of(**{**POINT, "objective": objective}, variant="baldro-dv", lr=1, seed=5)
        assert run.id == f"tofu--tiny--forget10--{objective}"
        assert run.hyperparameters() == {}


def test_a_fact_about_a_method_names_a_field():
    mentioned = {*TRAINING, *RETAINING, *LORA}
    for method in (*OBJECTIVES.values(), *COMBINERS.values()):
        mentioned |= {*method.fields, *method.defaults}
    for variant in VARIANTS.values():
        mentioned |= {*variant.fields, *variant.also, *(f"retain_{name}" for name in variant.fields)}
    mentioned |= {name for stage in STAGES.values() for name in (*stage.fields, *stage.defaults)}
    of_the_forget_half = {"robust_scope", "micro_batch_size", "forget_normalisation"}
    assert mentioned | of_the_forget_half == set(HYPERPARAMETERS)


@pytest.mark.parametrize(
    ("text", "code", "fact"),
    [
        ("tofu--tiny--forget10--npo--lr=1e-05", "id-not-canonical", "'tofu--tiny--forget10--npo'"),
        ("tofu--tiny--forget10--npo--lr=5e-4", "id-not-canonical", "'tofu--tiny--forget10--npo--lr=0.0005'"),
        ("tofu--tiny--forget10--npo--seed=1--lr=0.1", "id-not-canonical", "--lr=0.1--seed=1'"),
        ("tofu--tiny--forget10--npo--base", "id-not-canonical", "--npo'"),
        ("tofu--tiny--forget10--npo--dv_beta=5", "id-not-canonical", "--npo'"),
        ("tofu--tiny--forget10--npo--baldro-dv--dv_beta=5.0", "id-not-canonical", "--dv_beta=5'"),
        ("tofu--tiny--forget10", "not-a-run-id", "forget10"),
        ("", "not-a-run-id", "''"),
        ("tofu--tiny--forget10--npoo", "unknown-objective", "mean npo?"),
        ("tofu--tiny--forget10--npo--baldro-dw", "unknown-variant", "'baldro-dw'"),
        ("tofu--tiny--forget10--npo--beta=5", "unknown-field", "'beta'"),
        ("tofu--tiny--forget10--npo--lr=fast", "value-not-allowed", "'fast'"),
        ("tofu--tiny--forget10--npo--lr=nan", "value-not-allowed", "'nan'"),
        ("tofu--tiny--forget10--npo--lr=inf", "value-not-allowed", "'inf'"),
        ("tofu--tiny--forget10--npo--lr=", "value-not-allowed", "lr"),
        ("tofu--../etc--forget10--npo", "not-for-an-id", "'../etc'"),
        ("--tiny--forget10--npo", "not-for-an-id", "benchmark"),
    ],
)
def test_an_id_that_is_not_canonical_is_refused(text, code, fact):
    with refused(code, fact):
        Run.parse(text)


@pytest.mark.parametrize("name", ["a--b", "a/b", "a b", "", "-a", "a-", ".", "..", "é", "a=b"])
@pytest.mark.parametrize("part", ["benchmark", "model", "split"])
def test_a_name_that_would_break_an_id_is_refused(part, name):
    with refused("not-for-an-id", part):
        Run.of(**{**POINT, part: name})


@pytest.mark.parametrize(
    ("field", "value"),
    [("lr", 0), ("lr", True), ("lr", [1]), ("batch_size", 2.5), ("batch_size", 0), ("seed", -1), ("g_fraction", 1.1),
     ("dv_beta", "0"), ("dv_beta", float("nan")), ("seed", "1_0x")],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused(field, value):
    with refused("value-not-allowed", field):
        Run.of(**POINT, variant="baldro-dv", **{field: value})


@st.composite
def lines(draw) -> Run:
    """A run behind up to two others, of any stage that may stand there."""
    run = draw(runs())
    for _ in range(draw(st.integers(0, 2)) if run.facts.trains else 0):
        kind = draw(st.sampled_from([name for name, kind in KINDS.items() if kind.parent != "never"]))
        split = draw(st.sampled_from([run.split, "forget05"]))
        if run.facts.forgets and draw(st.booleans()):
            run = Run.of(**run.asdict() | dict(split=split, parent=run))
            continue
        fields = draw(st.fixed_dictionaries({}, optional={name: values(name) for name in ("lr", "seed", "relearn_on")}))
        run = Run.of(
            benchmark=run.benchmark, model=run.model, split=split, objective=kind,
            variant=draw(st.sampled_from(list(VARIANTS))), parent=run, **fields,
        )  # fmt: skip
        if not run.facts.trains:
            break
    return run


@given(run=lines())
@settings(max_examples=50)
def test_the_id_of_a_child_is_its_parents_with_a_suffix(run):
    assert Run.parse(run.id) == run == Run.of(**run.asdict())
    alike = run.parent and run.parent.hyperparameters() == run.hyperparameters()
    again = alike and (run.parent.objective, run.parent.variant) == (run.objective, run.variant)
    assert run.parent is None or run.id.startswith(f"{run.parent.id}--{'then=' if again else run.objective}")
    for stage in STAGES:
        assert bool(re.fullmatch(shape([stage]), run.id)) == (run.stage == stage)


@pytest.mark.parametrize(
    ("suffix", "code", "fact"),
    [
        ("npo--relearn--relearn_on=forget", "id-not-canonical", "'tofu--tiny--forget10--npo--relearn'"),
        ("npo--relearn--split=forget10", "id-not-canonical", "'tofu--tiny--forget10--npo--relearn'"),
        ("npo--relearn--relearn_on=all", "unknown-relearn-on", "'all'"),
        ("relearn", "parent-needed", "`then`"),
        ("published", "field-needed", "checkpoint"),
        ("published--checkpoint=..", "not-for-an-id", "'..'"),
        ("npo--original", "no-parent-possible", "original"),
        ("npo--scored--relearn", "parent-leaves-no-model", "npo--scored"),
        ("npo--split=forget05", "unknown-field", "'split'"),
        (
            "npo--lr=0.1--npo--split=forget05--lr=0.1",
            "id-not-canonical",
            "'tofu--tiny--forget10--npo--lr=0.1--then=forget05'",
        ),
        ("then=forget05", "unknown-objective", "'then=forget05'"),
        ("npo--lr=0.1--relern", "unknown-objective", "mean relearn?"),
    ],
)
def test_a_suffix_that_is_not_canonical_is_refused(suffix, code, fact):
    with refused(code, fact):
        Run.parse(f"tofu--tiny--forget10--{suffix}")


def test_stage_and_objective_say_each_other_and_a_parent_is_of_the_same_model():
    point = {name: POINT[name] for name in ("benchmark", "model", "split")}
    parent = Run.of(**POINT)
    assert Run.of(**point, stage="none").objective == "original"
    assert Run.of(**point, stage="none", parent=parent).objective == "scored"
    assert Run.of(**point, stage="relearn", parent=parent.id).parent == parent
    for code, wrong in {
        "objective-needed": dict(stage="unlearn"),
        "unknown-stage": dict(stage="relern"),
        "objective-of-another-stage": dict(stage="finetune", objective="npo"),
        "parent-of-another-model": dict(objective="npo", parent="tofu--small--forget10--npo"),
    }.items():
        with refused(code):
            Run.of(**point, **wrong)
