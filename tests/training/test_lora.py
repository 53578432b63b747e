"""Training with LoRA adapters, random ones and FILA's; and gradient checkpointing that trains what it should, with them and without."""

import pandas as pd
import pytest
import torch
from refusals import refused
from tiny import llama, sequences

from baldro.durable.lease import Stop
from baldro.durable.progress import Progress
from baldro.models import DTYPES
from baldro.runs import Run, code_of
from baldro.training.adapters import fila
from baldro.training.loop import Execution, train
from baldro.training.update import Sample

pytestmark = pytest.mark.usefixtures("one_cpu_thread")
STEPS = 4
STARTS = ("random", "fila")


FORGET, RETAIN = sequences(1, (9, 7, 12, 8, 11, 7, 10)), sequences(2, (8, 10, 6, 9, 12))


def run_of(start="random", objective="graddiff", **values):
    lora = {} if start is None else dict(lora_rank=3, lora_alpha=6, lora_start=start)
    settled = dict(lr=0.01, batch_size=3, max_steps=STEPS, warmup_epochs=0, schedule="constant") | lora | values
    variant = "baldro-dv" if objective == "graddiff" else None
    return Run.of(benchmark="b", model="m", split="forget10", objective=objective, variant=variant, **settled)


def fit(folder, run, model, stop=None, **execution):
    """The model as training left it; a checkpoint of the last step stays in the folder."""
    forget = [Sample(tokens=tokens) for tokens in FORGET] if run.objective != "finetune" else []
    options = Execution(checkpoint_minutes=None, checkpoint_steps=1, **execution)
    done = train(
        model, run, forget=forget, retain=RETAIN, output=folder, identity="same", execution=options, stop=stop or Stop()
    )
    folder.mkdir(exist_ok=True)
    done.state.save_rows(folder)
    return model


def kept(folder):
    return torch.load(folder / "checkpoint/state.pt", weights_only=True)


def rows(folder):
    return pd.read_csv(folder / "train.csv").drop(columns=["tokens_per_second", "seconds"])


def same(model, other):
    return [name for name, p in model.state_dict().items() if not torch.equal(p, other.state_dict()[name])] == []


class Killed(Exception):
    pass


def kill_at(monkeypatch, step):
    advance = Progress.advance

    def patched(self, **options):
        advance(self, **options)
        if self.done == step:
            raise Killed

    monkeypatch.setattr(Progress, "advance", patched)


# Resume --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "precision"), [("random", "bf16"), ("fila", "fp32"), ("fila", "bf16-only")])
def test_resumed_after_the_first_or_last_step_it_is_the_undisturbed_run(tmp_path, monkeypatch, start, precision):
    """To the last bit, dropout included; and FILA's start is not made again."""
    run, dtype = run_of(start, lora_dropout=0.2, precision=precision), DTYPES[precision]
    undisturbed = fit(tmp_path / "a", run, llama(dropout=0.1, dtype=dtype))
    for step in (1, STEPS):
        folder = tmp_path / f"{step}"
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, step)
            fit(folder, run, llama(dropout=0.1, dtype=dtype))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fila, "row_weights", None)
            model = fit(folder, run, llama(dropout=0.1, dtype=dtype))
        assert same(model, undisturbed), step
        pd.testing.assert_frame_equal(rows(folder), rows(tmp_path / "a"), check_exact=True)


@pytest.mark.parametrize(("start", "parts"), [("random", 2), ("fila", 4)])
def test_a_checkpoint_holds_what_training_changes(tmp_path, start, parts):
    fit(tmp_path, run_of(start), llama())
    state = kept(tmp_path)
    layers = 2 * 7
    assert len(state["model"]) == parts * layers and len(state["optimizer"]["state"]) == 2 * layers
    assert sum(factor.numel() for factor in state["model"].values()) == parts // 2 * 3 * 2 * (8 * 16 + 3 * (16 + 32))


def test_a_signal_ends_the_start_of_a_run(tmp_path, monkeypatch):
    """Between two samples: the start is long for a large model, and there is nothing to keep of it."""
    stop, seen, real = Stop(), [], fila.token_logp

    def token_logp(*given):
        seen.append(1)
        stop.asked = "SIGTERM" if len(seen) == 3 else ""
        return real(*given)

    monkeypatch.setattr(fila, "token_logp", token_logp)
    with refused("stopped-by-signal", "SIGTERM"):
        fit(tmp_path, run_of("fila"), llama(), stop=stop)
    assert len(seen) == 3 and not (tmp_path / "checkpoint/state.pt").exists()


# What training changes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["graddiff", "finetune"])
def test_training_changes_the_layers_by_their_adapters_and_nothing_else(tmp_path, objective):
    """The rest is bit-identical; a layer is what it was and s B A."""
    model, plain = fit(tmp_path, run_of(objective=objective), llama()), llama()
    assert list(model.state_dict()) == list(plain.state_dict()) and not hasattr(model, "peft_config")
    adapters = kept(tmp_path)["model"]
    for name, before in plain.state_dict().items():
        layer = name.removesuffix(".weight")
        if f"{layer}.A" not in adapters:
            assert torch.equal(model.state_dict()[name], before), name
            continue
        delta = 2 * adapters[f"{layer}.B"] @ adapters[f"{layer}.A"]
        assert torch.equal(model.state_dict()[name], before + delta) and bool((delta != 0).any()), name
        assert torch.linalg.matrix_rank(delta) <= 3


def test_fila_changes_the_layers_by_what_its_adapters_have_learnt(tmp_path):
    model, plain = fit(tmp_path, run_of("fila"), llama()), llama()
    adapters = kept(tmp_path)["model"]
    for name, before in plain.state_dict().items():
        layer = name.removesuffix(".weight")
        if f"{layer}.A" not in adapters:
            assert torch.equal(model.state_dict()[name], before), name
            continue
        now, start = (2 * adapters[f"{w}{layer}.B"] @ adapters[f"{w}{layer}.A"] for w in ("", "start."))
        assert torch.allclose(model.state_dict()[name], before + now - start, atol=1e-5), name
        assert not torch.allclose(now, start, atol=1e-3), name


def test_the_first_losses_are_those_of_the_model_whatever_the_start(tmp_path):
    """Both starts leave the function as it was; then they go apart."""
    for start in (None, *STARTS):
        fit(tmp_path / f"{start}", run_of(start), llama())
    losses = pd.DataFrame({start: rows(tmp_path / f"{start}")["forget_loss"] for start in (None, *STARTS)}).to_numpy()
    assert losses[0] == pytest.approx([losses[0, 0]] * 3, rel=1e-5)
    assert len({round(x, 4) for x in losses[-1]}) == 3


def test_the_seed_makes_the_adapters(tmp_path):
    a, b, c = (fit(tmp_path / f"{i}", run_of(seed=seed), llama()) for i, seed in enumerate((3, 3, 4)))
    assert same(a, b) and not same(a, c)


def test_dropout_is_the_runs(tmp_path):
    a, b = (fit(tmp_path / f"{i}", run_of(lora_dropout=share), llama()) for i, share in enumerate((0, 0.5)))
    assert not same(a, b)


@pytest.mark.parametrize("combiner", ["blur", "uno"])
@pytest.mark.parametrize("start", STARTS)
def test_other_combiners_see_the_adapters_only(tmp_path, start, combiner):
    model = fit(tmp_path, run_of(start, combiner=combiner), llama())
    for name, before in llama().state_dict().items():
        assert torch.equal(model.state_dict()[name], before) == ("_proj" not in name), name


def test_the_adapters_code_is_part_of_their_runs_alone():
    with_adapters, without = run_of("fila"), run_of(None)
    assert code_of(with_adapters) != code_of(without)


# Gradient checkpointing ----------------------------------------------------------------------------------------------


ONE_OF_EACH = [(None, "bf16-only"), ("random", "fp32"), ("random", "bf16"), ("fila", "bf16")]


def moments(folder):
    """Adam's first moment of every trained parameter: a mean of its gradients."""
    return [state["exp_avg"] for state in kept(folder)["optimizer"]["state"].values()]


@pytest.mark.parametrize(("start", "precision"), ONE_OF_EACH)
def test_gradient_checkpointing_trains_every_parameter_as_without_it(tmp_path, start, precision):
    """Frozen embeddings must not cut the gradient; A of a random start moves with the second step, when B is no longer 0."""
    run, dtype = run_of(start, precision=precision, lr=0.1, lora_dropout=0.2 if start else None), DTYPES[precision]
    model = fit(tmp_path / "on", run, llama(dropout=0.1, dtype=dtype), gradient_checkpointing=True)
    assert any(getattr(part, "gradient_checkpointing", False) for part in model.modules())
    before = llama(dropout=0.1, dtype=dtype)
    found = moments(tmp_path / "on")
    assert len(found) == (28 if start else len(list(before.parameters())))
    assert all(bool((moment != 0).any()) for moment in found)
    trained = [name for name in model.state_dict() if start is None or "_proj" in name]
    assert all(not torch.equal(model.state_dict()[name], before.state_dict()[name]) for name in trained)
    other = fit(tmp_path / "off", run, before)
    pairs = zip(
        [*found, *model.state_dict().values()], [*moments(tmp_path / "off"), *other.state_dict().values()], strict=True
    )
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in pairs)
