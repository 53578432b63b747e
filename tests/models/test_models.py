"""Models: built, stored, loaded, described; and the forward pass that all share, against transformers' own."""

import json
import shutil
import socket

import pytest
import torch
import transformers
from refusals import refused
from safetensors.torch import load_file

from baldro import models
from baldro import scoring as score
from baldro.errors import BaldroError
from baldro.prompts.batches import collate
from baldro.prompts.encode import Tokens
from baldro.records.model import Description
from tests.conftest import absent

SHAPE = dict(vocab_size=300, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
TEXTS = ["Who wrote it?", "Chika wrote it in 1963.", "Nobody knows who wrote it."]
IDS = torch.tensor([[5, 9, 30, 41, 7, 100]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "built"
    models.save(*models.build(SHAPE, TEXTS, seed=3), path, precision="fp32")
    return path


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def test_a_build_is_a_function_of_its_seed():
    (a, coder), (b, other), (c, _) = (models.build(SHAPE, TEXTS, seed=s) for s in (3, 3, 4))
    assert torch.equal(logits(a), logits(b)) and not torch.equal(logits(a), logits(c))
    assert coder.get_vocab() == other.get_vocab() and len(coder) <= 300
    assert a.config.vocab_size == len(coder) and a.config.hidden_size == 16
    assert models.positions(a) == 512


def test_a_built_tokenizer_keeps_every_text():
    coder = models.build(SHAPE, TEXTS, seed=3)[1]
    for text in ("Zoë — 東京 \U0001f600\ttab", "  two  spaces ", "line\n\nbreak"):
        ids = coder(text)["input_ids"]
        assert ids[0] == coder.bos_token_id and coder.decode(ids[1:], clean_up_tokenization_spaces=False) == text


def test_stored_and_loaded_is_the_same(folder):
    model, coder = models.build(SHAPE, TEXTS, seed=3)
    assert torch.equal(logits(models.load(str(folder))), logits(model))
    assert models.tokenizer(str(folder))(TEXTS)["input_ids"] == coder(TEXTS)["input_ids"]
    assert models.tokenizer(str(folder)).eos_token_id == coder.eos_token_id


def test_types_of_stored_and_loaded_weights(tmp_path, folder):
    def kinds(model):
        return {p.dtype for p in model.parameters()}

    models.save(*models.build(SHAPE, TEXTS, seed=3), tmp_path / "bf16", precision="bf16")
    assert kinds(models.load(str(tmp_path / "bf16"))) == {torch.bfloat16}
    assert kinds(models.load(str(tmp_path / "bf16"), precision="bf16")) == {torch.float32}
    assert kinds(models.load(str(folder))) == {torch.float32}
    assert kinds(models.load(str(folder), precision="bf16-only")) == {torch.bfloat16}


FREQUENCIES = 10_000.0 ** (-torch.arange(0, 64, 2, dtype=torch.float64) / 64)
"""Of a Llama with heads of width 64 (Su et al. 2021, arXiv 2104.09864, section 3.2.2)."""
FAR = torch.tensor([[0, 2000, 2500, 4095]])


def turns(model):
    """cos of the rotary angles at FAR, as the model has them, and in float64."""
    cos, _ = model.base_model.rotary_emb(torch.zeros(1, dtype=torch.float32), FAR)
    angle = FAR[0, :, None].double() * FREQUENCIES
    return cos[0, :, :32].double(), angle.cos()


@pytest.mark.parametrize("precision", ["bf16", "bf16-only"])
def test_rotary_frequencies_stay_in_float32(tmp_path, precision):
    """Built, saved, and loaded; bf16 frequencies would be off by a whole turn's fraction (1.7 in the cosine)."""
    shape = {**SHAPE, "hidden_size": 128, "max_position_embeddings": 4096}
    model, coder = models.build(shape, TEXTS, seed=3)
    assert models.cast(model, models.DTYPES[precision]) is model
    assert {p.dtype for p in model.parameters()} == {models.DTYPES[precision]}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    models.save(model, coder, tmp_path, precision=precision)
    for one in (model, models.load(str(tmp_path)), models.load(str(tmp_path), precision=precision)):
        ours, exact = turns(one)
        assert torch.allclose(ours, exact, atol=1e-3)
    ours, exact = turns(model.to(torch.bfloat16))
    assert float((ours - exact).abs().max()) > 0.5, "what is looked for can be seen"


def test_saving_leaves_the_model_as_it_is(tmp_path):
    model, coder = models.build(SHAPE, TEXTS, seed=3)
    before, buffers = logits(model), {name: value.clone() for name, value in model.named_buffers()}
    models.save(model, coder, tmp_path, precision="bf16")
    assert torch.equal(logits(model), before) and {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers()) and buffers
    stored = load_file(tmp_path / "model.safetensors")
    assert stored.keys() == model.state_dict().keys() - {"lm_head.weight"}
    for name, value in stored.items():
        assert torch.equal(value, model.state_dict()[name].to(torch.bfloat16)), name
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_that_is_not_there_or_has_no_config(tmp_path, made):
    (tmp_path / "model").mkdir() if made else None
    for part in (models.load, models.tokenizer):
        with refused("no-model-there", tmp_path / "model"):
            part(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("file", "kept"), [("config.json", 20), ("model.safetensors", 2000), ("model.safetensors", None)]
)
def test_a_file_that_is_cut_short_or_missing(tmp_path, folder, file, kept):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).unlink() if kept is None else (tmp_path / file).write_bytes(content[:kept])
    with refused("model-not-loadable", tmp_path):
        models.load(str(tmp_path))


def test_the_hub_out_of_reach(monkeypatch):
    """Offline as HF_HUB_OFFLINE=1 makes it; a socket would be a defect, and fails."""

    def no_network(*_):
        raise AssertionError("the network was tried")

    import huggingface_hub.constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    for part in (models.load, models.tokenizer):
        with refused("not-in-cache", "`baldro download --place hub:nobody/nothing@main`"):
            part("hub:nobody/nothing@main")
    with pytest.raises(BaldroError, match="'hub:nothing'"):
        models.load("hub:nothing")


def test_a_model_with_a_cap_is_loaded(tmp_path):
    torch.manual_seed(0)
    shape = dict(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
    )
    config = transformers.Gemma2Config(
        vocab_size=64, head_dim=8, bos_token_id=1, eos_token_id=2, pad_token_id=0, **shape
    )
    transformers.Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    assert models.load(str(tmp_path)).config.final_logit_softcapping == 30


def test_a_model_without_a_cap_is_not_refused(tmp_path):
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, initializer_range=1.0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    transformers.Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    assert models.load(str(tmp_path)).config.model_type == "qwen2"


def test_token_logp_is_that_of_the_whole_logits(monkeypatch):
    model = models.build({**SHAPE, "initializer_range": 0.3}, TEXTS, seed=3)[0].eval()
    data = [
        Tokens(ids=(0, 5, 9, 30, 41, 1), start=3),
        Tokens(ids=(0, 8, 1), start=2),
        Tokens(ids=(0, 7, 7, 9, 1), start=1),
    ]
    results = []
    for elements in (10**9, 300 * 2):  # the head at once, and two positions at a time
        monkeypatch.setattr("baldro.models.forward.HEAD_ELEMENTS", elements)
        model.zero_grad()
        logp_BT, mask_BT = models.token_logp(model, collate(data))
        logp_BT.sum().backward()
        results.append((logp_BT.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}))
    assert mask_BT.tolist() == [[True, True, True, False], [True, False, False, False], [True] * 4]
    for b, tokens in enumerate(data):
        whole = torch.log_softmax(model(input_ids=torch.tensor([tokens.ids])).logits[0].detach().double(), -1)
        expected = [float(whole[t - 1, tokens.ids[t]]) for t in range(tokens.start, len(tokens.ids))]
        assert logp_BT[b].tolist() == pytest.approx(expected + [0.0] * (4 - len(expected)), abs=1e-4)
    for name, gradient in results[0][1].items():
        assert torch.allclose(gradient, results[1][1][name], atol=1e-4, rtol=1e-4), name


def test_described_from_scratch():
    found = models.describe("tiny", {"build": SHAPE, "prompt": "{question}\n"})
    assert found == Description(name="tiny", prompt="{question}\n", build=SHAPE, starts={})
    assert json.loads(json.dumps(found.as_dict())) == dict(name="tiny", prompt="{question}\n", build=SHAPE, starts={})


def test_described_from_places(tmp_path, folder):
    places = [str(tmp_path / "nowhere"), "$BALDRO_UNSET_VARIABLE/x", str(folder)]
    found = models.describe("m", {"target": places, "retain": {"retain90": [str(folder)]}, "prompt": "{question} "})
    assert found.starts == {"target": str(folder), "retain90": str(folder)} and found.build is None


@pytest.mark.parametrize("prompt", ["Q\n", "chat"])
def test_prompts_that_cannot_work_are_refused_before_training(folder, prompt):
    with refused("prompt-without-question", "model m:", repr(prompt)):
        models.describe("m", {"build": SHAPE, "prompt": prompt})
    with refused("no-chat-template" if prompt == "chat" else "prompt-without-question", f"model m ({folder})"):
        models.describe("m", {"source": [str(folder)], "prompt": prompt})


def test_positions_that_are_too_few_for_what_will_be_generated(tmp_path):
    """Known when the model is described: nothing is trained first."""
    shape = {**SHAPE, "max_position_embeddings": 64}
    models.save(*models.build(shape, TEXTS, seed=3), tmp_path, precision="fp32")
    places = {"target": [str(tmp_path)], "prompt": "{question}\n"}
    models.describe("m", places, new_tokens=63)
    with refused("too-few-positions", f"model m ({tmp_path})", "max_new_tokens is 64", "at most 63"):
        models.describe("m", places, new_tokens=64)
    models.describe("m", {"build": SHAPE}, new_tokens=511)
    with refused("too-few-positions", "model m (build)", "at most 511"):
        models.describe("m", {"build": SHAPE}, new_tokens=512)


@pytest.fixture
def apart(tmp_path):
    """Weights without a tokenizer, and a tokenizer without weights, as MUSE publishes its models."""
    model, coder = models.build(SHAPE, TEXTS, seed=3)
    model.save_pretrained(tmp_path / "weights")
    coder.save_pretrained(tmp_path / "coder")
    return str(tmp_path / "weights"), str(tmp_path / "coder")


def test_a_tokenizer_of_its_own_place(apart, folder):
    weights, coder = apart
    found = models.describe("m", {"target": [weights], "tokenizer": [f"{coder}-nowhere", coder]})
    assert found.tokenizer == coder and found.starts == {"target": weights}
    assert found.rendered == models.describe("m", {"target": [str(folder)]}).rendered
    assert models.tokenizer(coder)(TEXTS)["input_ids"] == models.tokenizer(str(folder))(TEXTS)["input_ids"]
    with refused("model-not-loadable", f"model m ({weights})", "`tokenizer` in the model's entry"):
        models.describe("m", {"target": [weights]})
    with refused("not-for-built-models", "model m: tokenizer"):
        models.describe("m", {"build": SHAPE, "tokenizer": [coder]})


@pytest.mark.parametrize("key", ["system", "date", "template"])
def test_what_a_chat_reads_is_described_or_refused(folder, tmp_path, key):
    value = {"system": "Be brief.", "date": "2025-04-10", "template": {"name": "x"}}[key]
    with refused("not-for-built-models", f"model m: {key}"):
        models.describe("m", {"build": SHAPE, key: value})
    coder = models.tokenizer(str(folder))
    coder.chat_template = (
        "{{ name }}{{ strftime_now('%d') if date is defined }}{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    )
    models.load(str(folder)).save_pretrained(tmp_path / "chatty")
    coder.save_pretrained(tmp_path / "chatty")
    found = models.describe("m", {"target": [str(tmp_path / "chatty")], "prompt": "chat", key: value})
    assert getattr(found, key) == value and list(found.rendered) == ["target"]


def test_a_source_that_is_nowhere(tmp_path):
    with pytest.raises(BaldroError, match=r"model m \(retain90\) .*nowhere"):
        models.describe("m", {"retain": {"retain90": [str(tmp_path / "nowhere")]}})


def test_a_gguf_file(tmp_path):
    """A real file of quantised weights: set BALDRO_GGUF to one (the Makefile fetches one into weights/)."""
    import os
    from pathlib import Path

    root = Path(__file__).resolve().parents[2] / "weights"
    files = [Path(os.environ["BALDRO_GGUF"])] if "BALDRO_GGUF" in os.environ else sorted(root.glob("*.gguf"))
    if not files:
        absent("no .gguf file in weights/ (set BALDRO_GGUF)")
    pytest.importorskip("gguf")
    model = models.load(str(files[0]), precision="fp32")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    rounded, expected = {name: p.clone() for name, p in model.state_dict().items()}, logits(model)
    models.save(model, models.tokenizer(str(files[0])), tmp_path / "saved", precision="bf16")
    stored = models.load(str(tmp_path / "saved"), precision="fp32")  # bf16 kernels round as the CPU does
    assert all(torch.equal(weight, rounded[name]) for name, weight in stored.state_dict().items())
    torch.testing.assert_close(logits(stored), expected)
    assert expected[0, -1].topk(1).values > expected[0, -1].mean() + 3 * expected[0, -1].std(), (
        "a model that has learnt"
    )


@pytest.mark.parametrize(
    "names", [("gradient_checkpointing_enable",), ("activation_checkpointing_enable", "gradient_checkpointing_enable")]
)
def test_activations_are_recomputed_whatever_the_method_is_called(names):
    """transformers renamed it in 5.23, and warns of the old name since."""
    called = []
    model = type("Model", (), {name: lambda self, kwargs, name=name: called.append((name, kwargs)) for name in names})()
    models.recompute_activations(model)
    assert called == [(names[0], {"use_reentrant": False})]


def test_scoring_switches_tf32_off(folder):
    """Containers switch it on, and float32 on a GPU would have 11 bits."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        score.reference(models.load(str(folder)), [Tokens(ids=(1, 2, 3), start=1)])
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before)
