"""Checkpoints that are not their model's: known from names and shapes when described, before a weight is read, and when loaded."""

import json
import shutil
from argparse import Namespace

import pytest
import torch
from refusals import refused
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

from baldro import models
from baldro.jobs import download
from baldro.models import checkpoint, hub

SHAPE = dict(vocab_size=300, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
TEXTS = ["Who wrote it?", "Chika wrote it in 1963.", "Nobody knows who wrote it."]
UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "good"
    models.save(*models.build(SHAPE, TEXTS, seed=3), path, precision="fp32")
    return path


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "folder")


def downloaded(folder):
    download.run(Namespace(place=str(folder), output=None))


def described(folder):
    return models.describe("m", {"target": [str(folder)], "prompt": "{question}\n"})


def loaded(folder):
    models.load(str(folder))


EVERYWHERE = (described, downloaded, loaded)


def rewrite(folder, change):
    """The folder's tensors as `change` leaves them; it gets a dict of them."""
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors) or tensors, folder / "model.safetensors", {"format": "pt"})


def test_a_good_one_is_described_and_loaded(good):
    for action in EVERYWHERE:
        action(good)


def test_keys_that_are_renamed(folder):
    """As torch.compile renames them."""
    rewrite(folder, lambda tensors: {f"_orig_mod.{name}": value for name, value in tensors.items()})
    for action in EVERYWHERE:
        with refused("tensors-do-not-fit", folder, "21 missing: lm_head.weight, ", "and 17 more") as error:
            action(folder)
        assert "20 unexpected: _orig_mod.model.embed_tokens.weight" in str(error.value)


@pytest.mark.parametrize(
    "change, fact",
    [
        (lambda t: {name: v for name, v in t.items() if name != UP}, f"1 missing: {UP};"),
        (lambda t: {**t, UP: torch.zeros(5, 16)}, f"1 of another shape: {UP} (5, 16) instead of (24, 16);"),
        (lambda t: {**t, UP.replace("1", "2"): t[UP].clone()}, f"1 unexpected: {UP.replace('1', '2')};"),
    ],
    ids=["missing", "of another shape", "unexpected"],
)
def test_one_tensor(folder, change, fact):
    rewrite(folder, change)
    for action in EVERYWHERE:
        with refused("tensors-do-not-fit", fact):
            action(folder)


def test_a_config_that_cannot_be(folder):
    """61 is no multiple of two heads; transformers checks it by a class of errors of its own."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 61}))
    for action in (described, downloaded):
        with refused("model-not-loadable", "hidden size (61)"):
            action(folder)


def test_a_config_of_fewer_layers_than_the_checkpoint(folder):
    """The model would be another one, without a word."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    with refused("tensors-do-not-fit", "9 unexpected: model.layers.1."):
        described(folder)


def test_tensors_that_old_checkpoints_have_besides_are_harmless(folder):
    def more(tensors):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        tensors |= {f"model.layers.{n}.self_attn.rotary_emb.inv_freq": torch.ones(4) for n in range(2)}

    rewrite(folder, more)
    described(folder)
    models.load(str(folder))


@pytest.mark.parametrize("kind, more", [
    ("gpt2", {"transformer.h.0.attn.bias": (1, 1, 8, 8), "transformer.h.0.attn.masked_bias": ()}),
    ("gpt_neox", {"gpt_neox.layers.0.attention.bias": (1, 1, 8, 8), "gpt_neox.layers.0.attention.rotary_emb.inv_freq": (2,)}),
])  # fmt: skip
def test_causal_masks_of_old_checkpoints_are_harmless(tmp_path, kind, more):
    network(kind, tmp_path)
    rewrite(tmp_path, lambda tensors: tensors.update({name: torch.ones(shape) for name, shape in more.items()}))
    checkpoint.check_tensors(tmp_path, models.from_place(str(tmp_path), AutoConfig))
    models.load(str(tmp_path))


def network(kind, folder, **options):
    torch.manual_seed(0)
    shape = dict(num_key_value_heads=2, num_local_experts=4, pad_token_id=0, **SHAPE)
    if kind == "gpt2":
        shape = dict(n_embd=16, n_layer=1, n_head=2, vocab_size=300)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**shape))
    model.save_pretrained(folder, **options)
    return model


def test_shards(good, tmp_path):
    """A tensor that its shard has not; a shard that is not there."""
    model = AutoModelForCausalLM.from_pretrained(good)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(good / name, tmp_path)
    described(tmp_path)
    table = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    shard = tmp_path / table[UP]
    tensors = load_file(shard)
    del tensors[UP]
    save_file(tensors, shard, {"format": "pt"})
    with refused("tensors-do-not-fit", f"1 missing: {UP};"):
        described(tmp_path)
    shard.unlink()
    with refused("model-not-loadable", tmp_path):
        described(tmp_path)


def test_files_of_pickled_tensors(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    described(folder)
    del tensors[UP]
    for zipped in (True, False):
        torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        with refused("tensors-do-not-fit", f"1 missing: {UP};"):
            described(folder)
    (folder / "pytorch_model.bin").write_bytes((folder / "pytorch_model.bin").read_bytes()[:2000])
    for action in (described, loaded):
        with refused("model-not-loadable", folder):
            action(folder)


@pytest.mark.parametrize("file", hub.ADAPTERS)
def test_adapters_beside_a_model(folder, file):
    (folder / file).write_text('{"peft_type": "LORA", "base_model_name_or_path": "x"}')
    for action in EVERYWHERE:
        with refused("adapters-beside-model", folder, file):
            action(folder)


def test_experts_that_are_stored_apart(tmp_path):
    """transformers fuses them as it loads: what is missing of them has no name of its own."""
    network("mixtral", tmp_path)
    config = models.from_place(str(tmp_path), AutoConfig)
    checkpoint.check_tensors(tmp_path, config)
    name = "model.layers.1.block_sparse_moe.experts.2.w1.weight"
    rewrite(tmp_path, lambda tensors: {key: value for key, value in tensors.items() if key != name})
    for action in (lambda: checkpoint.check_tensors(tmp_path, config), lambda: loaded(tmp_path)):
        with refused("tensors-do-not-fit", "model.layers.1.mlp.experts.gate_up_proj"):
            action()


def test_nothing_is_read_to_describe(folder, monkeypatch):
    """13 GB would be: every tensor of the comparison is without content."""
    seen = []
    monkeypatch.setattr(checkpoint, "load", lambda *_, state_dict, **__: seen.extend(state_dict.values()))
    described(folder)
    assert len(seen) == 20 and all(tensor.is_meta for tensor in seen)


# What a config and a tokenizer say -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, own",
    [
        ("mamba", dict(state_size=4, num_hidden_layers=2)),
        ("rwkv", dict(num_hidden_layers=2)),
        ("jamba", dict(num_hidden_layers=8, num_attention_heads=2, num_key_value_heads=1, intermediate_size=24)),
        ("minimax", dict(num_hidden_layers=2, layer_types=["linear_attention", "full_attention"])),
        ("recurrent_gemma", dict(num_hidden_layers=3)),
    ],
)
def test_models_with_a_running_state_are_known_when_described(good, tmp_path, kind, own):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(good / name, tmp_path)
    CONFIG_MAPPING[kind](hidden_size=16, vocab_size=300, **own).save_pretrained(tmp_path)
    with refused("not-only-attention"):
        described(tmp_path)


def test_a_classifier_is_no_language_model(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForSequenceClassification"]}))
    with refused("not-a-language-model", "LlamaForSequenceClassification"):
        described(folder)


def enlarged(folder, tokens, **options):
    coder = models.tokenizer(str(folder))
    coder.add_tokens(tokens, **options)
    coder.save_pretrained(folder)
    return coder


def test_a_tokenizer_that_is_larger_than_the_embedding(folder):
    rows = len(enlarged(folder, ["Zebulon"])) - 1
    with refused("token-beyond-embedding", f"{rows} rows: 'Zebulon' ({rows});"):
        described(folder)


def test_a_special_token_beyond_the_embedding(folder):
    """One that no text holds is what some published tokenizers have; not the end, nor one of the prompt."""
    coder = enlarged(folder, ["<pad>"], special_tokens=True)
    described(folder)
    with refused("token-beyond-embedding", "<pad>"):
        models.describe("m", {"target": [str(folder)], "prompt": "<pad>{question}"})
    coder.eos_token = "<pad>"
    coder.save_pretrained(folder)
    with refused("token-beyond-embedding", "<pad>"):
        described(folder)
