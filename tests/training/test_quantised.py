"""LoRA on a 4-bit base: what it starts from, what it leaves, and that an interrupted run ends as an undisturbed one."""

import pytest
import torch
from tiny import llama

from baldro import models
from baldro.models import DTYPES
from baldro.training.adapters import Adapters, linear_layers

from .test_lora import Killed, fit, kept, kill_at, run_of, same

pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
pytestmark = pytest.mark.usefixtures("one_cpu_thread")
NF4 = [0.0, 0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.7230, 1.0, -0.0911, -0.1848, -0.2844, -0.3949, -0.5251]
NF4 += [-0.6962, -1.0]
"""The 16 values (Dettmers et al. 2023, appendix E), to four digits."""


def adapted(dtype=torch.float32, computed=torch.float32):
    model = llama(dtype=dtype)
    adapters = Adapters(model, rank=3, alpha=6, four_bit=computed)
    return model.to("cpu"), adapters


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.tensor([[5, 9, 22, 7, 31, 8]])).logits


def nearest(weight_OI):
    """Each weight's nearest of the 16 values, in blocks of 64 by their largest; the scales unrounded."""
    blocks = weight_OI.float().reshape(-1, 64)
    scale = blocks.abs().amax(1, keepdim=True)
    values = torch.tensor(NF4)
    return (values[(blocks[:, :, None] / scale[:, :, None] - values).abs().argmin(2)] * scale).view_as(weight_OI)


def test_training_starts_from_nf4_values_and_unmoved_adapters_leave_them():
    plain = llama()
    model, adapters = adapted()
    inside = logits(model)
    adapters.merge()
    assert torch.allclose(logits(model), inside, atol=1e-4) and not torch.equal(logits(model), logits(plain))
    layers = linear_layers(plain)
    assert linear_layers(model) == layers and all(type(model.get_submodule(name)) is torch.nn.Linear for name in layers)
    for name, weight in plain.state_dict().items():
        found = model.state_dict()[name]
        if name.removesuffix(".weight") not in layers:
            assert torch.equal(found, weight), name
            continue
        assert torch.allclose(found, nearest(weight), atol=0.02 * float(weight.abs().max())), name


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-only"])
def test_what_is_saved_is_the_4_bit_values_and_what_was_learnt(tmp_path, precision):
    """An ordinary model in the run's precision; embeddings and norms to the last bit those of the start."""

    class NoTokenizer:
        def save_pretrained(self, folder):
            pass

    run = run_of(lora_base="nf4", precision=precision)
    model = fit(tmp_path, run, llama(dtype=DTYPES[precision]))
    models.save(model, NoTokenizer(), tmp_path / "model", precision=precision)
    read, start = models.load(str(tmp_path / "model")).state_dict(), llama(dtype=DTYPES[precision])
    stored = torch.float32 if precision == "fp32" else torch.bfloat16
    assert {p.dtype for p in read.values()} == {stored}
    learnt, (base, adapters) = kept(tmp_path)["model"], adapted(DTYPES[precision])
    adapters.load_state_dict(learnt)
    adapters.merge()
    for name, before in start.state_dict().items():
        layer = name.removesuffix(".weight")
        if f"{layer}.A" not in learnt:
            assert torch.equal(read[name], before.to(stored)), name
        else:
            assert torch.equal(read[name], base.state_dict()[name].to(stored)), name
            assert bool((learnt[f"{layer}.B"] != 0).any())


def test_resumed_it_is_the_undisturbed_run(tmp_path, monkeypatch):
    """To the last bit; a checkpoint holds the adapters alone, and the base is made again of the start."""
    run = run_of(lora_base="nf4", lora_dropout=0.2, precision="bf16")
    undisturbed = fit(tmp_path / "a", run, llama(dropout=0.1))
    assert {name.rpartition(".")[2] for name in kept(tmp_path / "a")["model"]} == {"A", "B"}
    with pytest.raises(Killed):
        kill_at(monkeypatch, 1)
        fit(tmp_path / "b", run, llama(dropout=0.1))
    monkeypatch.undo()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert same(fit(tmp_path / "b", run, llama(dropout=0.1)), undisturbed)


@pytest.mark.parametrize("options", [{"gradient_checkpointing": True}, {"micro_batch": 2}])
def test_it_is_the_same_update_however_it_is_carried_out(tmp_path, options):
    run = run_of(lora_base="nf4")
    whole, other = (fit(tmp_path / name, run, llama(), **given) for name, given in (("a", {}), ("b", options)))
    for name, weight in whole.state_dict().items():
        assert torch.allclose(weight, other.state_dict()[name], rtol=1e-5, atol=1e-6), name
