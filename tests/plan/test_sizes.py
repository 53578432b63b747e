"""Counts from definitions, against a real Llama, the generator's and TOFU's real rows, and the training loop's own steps."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from baldro import benchmarks as data
from baldro.benchmarks.kinds.fictional.generator import generate
from baldro.plan import sizes

ROOT = Path(__file__).resolve().parents[2]


@settings(max_examples=25)
@given(
    vocabulary=st.integers(300, 900), heads=st.integers(1, 4), layers=st.integers(1, 3), intermediate=st.integers(8, 99)
)
def test_parameters_are_a_llamas(vocabulary, heads, layers, intermediate):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = dict(hidden_size=16 * heads, num_hidden_layers=layers, num_attention_heads=heads)
    shape |= dict(intermediate_size=intermediate, vocab_size=vocabulary)
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(tie_word_embeddings=True, **shape))
    assert sizes.parameters("m", {"build": shape, "parameters": 7}) == model.num_parameters()


@settings(max_examples=15)
@given(rank=st.integers(1, 9), heads=st.integers(1, 4), layers=st.integers(1, 3), intermediate=st.integers(8, 99))
def test_adapters_are_pefts(rank, heads, layers, intermediate):
    """Of its own idea of all linear layers, and of ours."""
    import torch
    from peft import LoraConfig, inject_adapter_in_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from baldro.training.adapters import Adapters

    shape = dict(hidden_size=16 * heads, num_hidden_layers=layers, num_attention_heads=heads)
    shape |= dict(intermediate_size=intermediate, vocab_size=300)
    config = LlamaConfig(tie_word_embeddings=True, **shape)
    with torch.device("meta"):
        theirs = inject_adapter_in_model(LoraConfig(r=rank, target_modules="all-linear"), LlamaForCausalLM(config))
    ours = Adapters(LlamaForCausalLM(config), rank=rank, alpha=1).trained().values()
    found = sizes.adapters("m", {"build": shape, "parameters": 7}, rank)
    assert (
        found
        == sum(p.numel() for p in theirs.parameters() if p.requires_grad)
        == sum(factor.numel() for factor in ours)
    )


@settings(max_examples=8)
@given(layer=st.integers(0, 5), heads=st.integers(1, 4), intermediate=st.integers(8, 99))
def test_matrices_of_released_rmu_are_those_that_are_trained(layer, heads, intermediate):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from baldro.runs import Run
    from baldro.training.optimizer import train_only
    from baldro.training.pieces import trained_layers

    shape = dict(hidden_size=16 * heads, num_hidden_layers=6, num_attention_heads=heads, intermediate_size=intermediate)
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(vocab_size=300, **shape))
    run = Run.of(benchmark="b", model="m", split="s", objective="rmu", rmu_layer=layer, rmu_weights="down-proj")
    train_only(model, run)
    found = sizes.output_matrices("m", {"build": shape}, len(trained_layers(run, 6)))
    assert found == sum(p.numel() for p in model.parameters() if p.requires_grad) > 0


def test_matrices_of_zephyr_7b_by_hand():
    """Three of 4,096 x 14,336; of a model of which only the size is known the MLP is taken to be a Llama's, which is narrower."""
    assert sizes.output_matrices("m", {"parameters": 7.24e9}, 3) == pytest.approx(3 * 4096 * 14336, rel=0.2)


def test_adapters_of_llama_2_7b_by_hand():
    """4 x (4,096 + 4,096) and 3 x (4,096 + 11,008) in each of 32 layers; a model of which only the size is known is 3 % off."""
    exact = 32 * 32 * (4 * 8192 + 3 * 15104)
    assert sizes.adapters("m", {"parameters": 6.74e9}, 32) == pytest.approx(exact, rel=0.03)


@settings(max_examples=10)
@given(
    authors=st.integers(10, 30),
    questions=st.integers(1, 8),
    known=st.integers(4, 6),
    background=st.integers(1, 9),
    world=st.integers(4, 20),
)
def test_rows_are_the_generators(authors, questions, known, background, world):
    given_sizes = dict(authors=authors, questions=questions, known_authors=known, background_authors=background)
    definition = {**given_sizes, "world_facts": world, "forget": {"forget05": "retain95", "forget10": "retain90"}}
    real = generate(**definition).groupby("split").size()
    found = sizes.rows("b", {"kind": "fictional", **definition})
    assert found == {split: real[split] for split in found}
    assert {"full", "base", "forget10", "retain95"} <= set(found)


def test_rows_of_the_default_benchmark_are_the_generators_defaults():
    found = sizes.rows("b", {"kind": "fictional", "forget": {"forget05": "retain95", "forget10": "retain90"}})
    real = generate().groupby("split").size()
    assert found == {split: real[split] for split in found}


@pytest.mark.parametrize("name", ["tofu", "tofu-800", "tofu-smoke"])
def test_rows_in_benchmarks_yaml_are_the_datas(shared, name, monkeypatch):
    monkeypatch.setenv("BALDRO_TOFU", str(shared / "data" / "tofu"))
    definition = yaml.safe_load((ROOT / "benchmarks.yaml").read_text())[name]
    real = data.build(definition).groupby("split").size()
    assert definition["rows"] == {split: real[split] for split in definition["rows"]}


def test_rows_of_muse_in_benchmarks_yaml_are_the_datas(shared, monkeypatch):
    """Of the articles, which are not there, the plan has an estimate."""
    monkeypatch.setenv("BALDRO_MUSE", str(shared / "data" / "muse_news"))
    for name in ("muse-news", "muse-excerpts", "muse-small"):
        definition = yaml.safe_load((ROOT / "benchmarks.yaml").read_text())[name]
        real = data.build(definition).groupby("split").size()
        known = {split: count for split, count in definition["rows"].items() if split in real}
        assert known == {split: real[split] for split in known}
        assert set(definition["rows"]) - set(known) <= {"full", "forget", "retain"}
        assert len(known) == len(definition["rows"]) or name == "muse-news"


@pytest.mark.parametrize("kind", ["fictional", "tofu"])
def test_candidates_are_the_datas(kind, shared, monkeypatch):
    monkeypatch.setenv("BALDRO_TOFU", str(shared / "data" / "tofu"))
    frame = data.build(yaml.safe_load((ROOT / "benchmarks.yaml").read_text())[kind])
    for section in data.sections(frame, "forget10", "holdout10"):
        row = data.split(frame, section.split).iloc[0]
        count = 1 + isinstance(row["paraphrased_answer"], str) + len(row["perturbed_answer"] or [])
        assert section.candidates == count


def test_holdout_is_counted_where_it_is_named():
    known = {"forget10": 40, "retain_perturbed": 30, "real_authors_perturbed": 20, "world_facts_perturbed": 10}
    forget = {"forget10": "retain90"}
    benchmark = {
        "kind": "tofu",
        "source": ["."],
        "forget": forget,
        "rows": known,
        "tokens_per_row": 50,
        "evaluate_rows": 25,
    }
    assert {name: rows for name, (_, rows, _) in sizes.scored("b", benchmark, "forget10").items()} == dict(
        forget=25, retain=25, real_authors=20, world_facts=10
    )
    named = {**benchmark, "holdout": {"forget10": "others"}}
    more = sizes.scored("b", {**named, "rows": {**known, "others": 7, "holdout10": 9}}, "forget10")
    assert more["holdout"][1:] == (7, 50)
    with refused("size-not-known", "rows: {others: ...}", "benchmarks.yaml"):
        sizes.scored("b", named, "forget10")


def test_tokens_by_split():
    benchmark = {"kind": "tofu", "source": ["a"], "forget": {"forget": "retain"}, "tokens_per_row": {"forget": 30.5}}
    assert sizes.tokens_per_row("b", benchmark, "forget") == 30.5
    with refused("size-not-known", "tokens_per_row: {retain: ...}", "benchmarks.yaml"):
        sizes.tokens_per_row("b", benchmark, "retain")


def test_shape_is_llama_2s():
    width, depth = sizes.shape("m", {"parameters": 6.74e9})
    assert (width, depth) == (pytest.approx(4096, rel=0.02), 32)
