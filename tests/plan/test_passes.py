"""How often samples go through the model, against real steps of a tiny one, whose passes and arithmetic are counted from outside."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from baldro.methods import variants as robust
from baldro.models import packing
from baldro.plan import amounts, passes
from baldro.prompts.encode import Tokens
from baldro.runs import COMBINERS, OBJECTIVES, VARIANTS, Run
from baldro.training.optimizer import train_only
from baldro.training.update import Sample, Step, cache_reference

B = 8
UNLEARN = list(OBJECTIVES)
SHARES = {"baldro-g": "g_fraction", "cvar": "cvar_alpha"}

SPREAD = {"chi2": {"chi2_rho": 0.05}}
"""So near to the plain mean that no weight is 0: such a sample goes through once only, which is not counted."""


def sequence(seed: int) -> Tokens:
    random = torch.Generator().manual_seed(seed)
    return Tokens(ids=tuple(torch.randint(0, 60, (7,), generator=random).tolist()), start=3)


def batch(run: Run) -> tuple[list[Sample], list[Tokens]]:
    method, forget = OBJECTIVES[run.objective], []
    for i in range(B):
        fields = {"tokens": sequence(i)}
        fields |= {"reference": [-2.0 - i] * 4} if "reference" in method.needs else {}
        fields |= {"alternate": sequence(50 + i), "alternate_reference": [-3.0] * 4} if method.answers else {}
        forget.append(Sample(**fields))
    return forget, [sequence(100 + i) for i in range(B)] if method.retains else []


def of(objective="npo", **axes) -> Run:
    fixed = {"rmu_layer": 0} if objective == "rmu" else {}
    return Run.of(benchmark="b", model="m", split="s", objective=objective, batch_size=B, **fixed | axes)


def counted(model, run: Run, micro_batch: int) -> dict[str, float]:
    """Sequences that went through the first layer: before the step, in it without gradients, in it with."""
    rows = {"once": 0, "forward": 0, "trained": 0}
    stage = ["once"]

    def count(_layer, arguments, _output):
        key = stage[0] if stage[0] == "once" else ("trained" if torch.is_grad_enabled() else "forward")
        rows[key] += len(arguments[0])

    packing.prepare(model)  # which tries a few tokens
    hook = model.model.layers[0].register_forward_hook(count)
    forget, retain = batch(run)
    cache = cache_reference(model, run, forget=[s.tokens for s in forget], retain=retain)
    stage[0] = "step"
    Step(model, run, micro_batch=micro_batch, cache=cache).accumulate(forget, retain)
    hook.remove()
    return rows


@pytest.mark.parametrize("values", [{}, dict(retain_loss="cross-entropy")], ids=["activations", "cross-entropy"])
def test_backward_passes_of_released_rmu_go_through_the_layers_that_are_counted(tiny_model, values):
    depth, reached = 6, set()
    build = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=depth)
    tiny_model.model.layers = torch.nn.ModuleList(copy.deepcopy(tiny_model.model.layers[0]) for _ in range(depth))
    tiny_model.config.num_hidden_layers = depth
    run = of("rmu", rmu_weights="down-proj", rmu_layer=3, **values)
    train_only(tiny_model, run)
    for i, layer in enumerate(tiny_model.model.layers):

        def note(_layer, _inputs, output, i=i):
            if output.requires_grad:
                output.register_hook(lambda _grad: reached.add(i))

        layer.register_forward_hook(note)
    forget, retain = batch(run)
    cache = cache_reference(tiny_model, run, forget=[s.tokens for s in forget], retain=retain)
    Step(tiny_model, run, micro_batch=4, cache=cache).accumulate(forget, retain)
    experiment = SimpleNamespace(models={"m": {"build": build}})
    assert len(reached) == pytest.approx(depth * amounts.passed_back(experiment, run))
    assert min(reached) == depth - amounts.kept_layers(experiment, run)


def expected(run: Run, micro_batch: int) -> dict[str, float]:
    halves = [half(run, micro_batch=micro_batch) for half in (passes.of_forget, passes.of_retain)]
    return {
        "once": B * sum(half.once for half in halves),
        "forward": B * sum(half.forward for half in halves),
        "trained": B * sum(half.trained + half.hessian for half in halves),
    }


def cases():
    for objective in UNLEARN:
        yield {"objective": objective}
    for objective in ("idkdpo", "undial"):
        yield {"objective": objective, "variant": "chi2", **SPREAD["chi2"]}
    for variant in VARIANTS:
        share = {SHARES[variant]: 0.25} if variant in SHARES else SPREAD.get(variant, {})
        yield {"variant": variant, **share}
        yield {"variant": variant, "robust_scope": "micro-batch", "micro_batch_size": 4, **SPREAD.get(variant, {})}
        yield {"objective": "idkdpo", "variant": variant, **share}
        yield {"variant": variant, "combiner": "uno", **share}
        own = {f"retain_{field}": value for field, value in share.items()}
        yield {"retain_variant": variant, "retain_normalisation": "sample-mean", **own}
    for loss in ("cross-entropy", "kl"):
        yield {"objective": "undial", "retain_loss": loss}
    for combiner in COMBINERS:
        yield {"objective": "graddiff", "combiner": combiner}
    yield {"variant": "baldro-g", "g_retain": "cut", "g_fraction": 0.75}
    yield {"variant": "baldro-g", "g_retain": "cut", "combiner": "uno"}
    scoped = {"robust_scope": "micro-batch", "micro_batch_size": 4}
    yield {"variant": "baldro-g", "combiner": "uno", **scoped}
    yield {"variant": "baldro-g", "g_retain": "cut", **scoped}
    yield {"objective": "idkdpo", "variant": "chi2", **SPREAD["chi2"], **scoped}
    yield {"retain_variant": "baldro-dv", "retain_normalisation": "sample-mean", **scoped}
    yield {"variant": "baldro-dv", "dv_level": "token", "objective": "wga", **scoped}
    yield {"variant": "baldro-g", "objective": "wga", "forget_normalisation": "token-mean"}
    yield {"variant": "baldro-dv", "dv_level": "token", "objective": "wga"}


@pytest.mark.parametrize("axes", [*cases()], ids=lambda axes: "-".join(str(value) for value in axes.values()))
def test_passes_are_the_steps(tiny_model, axes):
    run = of(**axes)
    for micro_batch in (64, B, 3):
        assert counted(tiny_model, run, micro_batch) == expected(run, micro_batch), micro_batch


@pytest.mark.parametrize("axes", [{}, {"variant": "baldro-g"}, {"objective": "gradascent"}])
def test_arithmetic_is_what_is_counted(tiny_model, axes):
    """A product with a Hessian takes three times what a forward and a backward pass take, and these three times a forward pass."""

    def arithmetic(**more) -> float:
        run = of(**{"objective": "graddiff", **axes, **more})
        with FlopCounterMode(display=False) as counter:
            Step(tiny_model, run, micro_batch=64).accumulate(*batch(run))
        return counter.get_total_flops() / passes.per_row(run)

    first = arithmetic(variant="base", objective="graddiff")
    assert arithmetic() == pytest.approx(first, rel=0.05)
    if OBJECTIVES[axes.get("objective", "graddiff")].retains:
        assert arithmetic(combiner="uno") == pytest.approx(first, rel=0.05)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_share_is_that_of_the_weights(variant):
    """Of a ranking variant, found in its fields; others have none."""
    assert passes.share(variant) == SHARES.get(variant)
    for share in (0.25, 0.5, 1.0) if variant in SHARES else ():
        weights = robust.weights(variant)(torch.arange(12.0), **{SHARES[variant]: share})
        assert float((weights > 0).sum()) == 12 * share


def test_runs_that_unlearn_nothing_learn_each_row_once():
    for objective in ("pretrain", "finetune"):
        assert passes.per_row(of(objective), micro_batch=1) == 3
        assert passes.rows_once(of(objective), 40) == 0


def test_rows_before_the_first_step():
    """All of the forget split, whatever is drawn of it; of the retain split, what is drawn."""
    assert passes.rows_once(of("undial", epochs=3), 40) == 40
    assert passes.rows_once(of("undial", epochs=3, retain_loss="kl"), 40) == 40 + 3 * 40
    assert passes.rows_once(of("undial", max_steps=2, retain_loss="kl"), 40) == 40 + 2 * 8
    assert passes.rows_once(of("npo"), 40) == 0
