"""What a model's jobs ask of a machine: defaults, what the schema lets through, further attempts, and that no run knows of it."""

from dataclasses import asdict, fields

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from baldro.errors import BaldroError
from baldro.runs import Needs, Run, load
from baldro.runs.loading import SCHEMA

GRID = dict(benchmark="fictional", model="nano", split="forget10", objective="npo")
NANO = {"build": dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)}
BOUNDS = yaml.safe_load(SCHEMA.read_text())["$defs"]["model"]["properties"]["needs"]["properties"]
NUMBERS = {key: bounds for key, bounds in BOUNDS.items() if bounds["type"] == "integer"}


def of(needs=None):
    """An experiment of a model with these needs."""
    model = NANO if needs is None else NANO | {"needs": needs}
    return load({"name": "t", "grid": GRID, "models": {"nano": model}})


def test_defaults():
    """As the README and the schema have them; all that an entry without `needs` asks for."""
    expected = dict(gpu=1, mem_mb=8000, train_minutes=60, score_minutes=60)
    expected |= dict(micro_batch=64, batch_tokens=16384, gradient_checkpointing=False, runs_per_job=1)
    assert asdict(of().needs("nano")) == asdict(of({}).needs("nano")) == expected
    assert {key: bounds["default"] for key, bounds in BOUNDS.items()} == expected


def test_the_schemas_needs_are_the_codes():
    assert list(BOUNDS) == [field.name for field in fields(Needs)]


def test_what_an_entry_says_is_what_its_jobs_ask_for():
    said = dict(gpu=0, mem_mb=900, train_minutes=9, score_minutes=8, micro_batch=3, batch_tokens=512, runs_per_job=5)
    said |= dict(gradient_checkpointing=True)
    assert asdict(of(said).needs("nano")) == said
    assert of({"mem_mb": 9e3}).needs("nano") == Needs(mem_mb=9000)
    assert isinstance(of({"mem_mb": 9e3}).needs("nano").mem_mb, int)  # Snakemake takes no other


@pytest.mark.parametrize("key", NUMBERS)
def test_out_of_bounds_is_one_line(key):
    least = BOUNDS[key]["minimum"]
    of({key: least})
    with pytest.raises(BaldroError, match=rf"models\.nano\.needs\.{key}: is {least - 1}; allowed: at least {least}$"):
        of({key: least - 1})
    for wrong in ("8 GB", 1.5, True, None, [9000]):
        with pytest.raises(BaldroError, match=rf"models\.nano\.needs\.{key}: is .*; allowed: integer$"):
            of({key: wrong})


@pytest.mark.parametrize("wrong", [1, 0, "yes", None])
def test_gradient_checkpointing_is_yes_or_no(wrong):
    assert of({"gradient_checkpointing": True}).needs("nano").gradient_checkpointing is True
    with pytest.raises(BaldroError, match=r"models\.nano\.needs\.gradient_checkpointing: is .*; allowed: boolean$"):
        of({"gradient_checkpointing": wrong})


def test_an_unknown_key_is_one_line():
    with pytest.raises(BaldroError, match=r"unknown key 'mem_gb' in models\.nano\.needs \(did you mean mem_mb\?\)"):
        of({"mem_gb": 8})


@given(st.builds(Needs, **{key: st.integers(bounds["minimum"], 10**6) for key, bounds in NUMBERS.items()}))
def test_further_attempts_take_more_time_and_memory_and_are_otherwise_the_first(needs):
    assert needs.at(1) == needs
    grows = ("mem_mb", "train_minutes", "score_minutes")
    for attempt in (2, 3, 9):
        assert asdict(needs.at(attempt)) == asdict(needs) | {key: attempt * getattr(needs, key) for key in grows}


def test_no_run_knows_of_them():
    """Not its id, not its fields, not the models that it builds on; so nothing is done again."""
    plain, asking = of(), of({"gpu": 0, "mem_mb": 900, "micro_batch": 1})
    assert plain.lineage() == asking.lineage()
    assert [run.id for run in plain.lineage()] == [run.id for run in asking.lineage()]
    assert not {field.name for field in fields(Needs)} & {field.name for field in fields(Run)}
