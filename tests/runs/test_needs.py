"""What a model's jobs ask of a machine: defaults, what the schema lets through, further attempts, and that no run knows of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from baldro.config import load
from baldro.runs import FIELDS, Needs

GRID = dict(benchmark="fictional", model="nano", split="forget10", objective="npo")
NANO = {"build": dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)}
KEYS = Needs.model_json_schema()["properties"]
LEAST = {"gpu": 0, "mem_mb": 400, "batch_tokens": 256} | dict.fromkeys(
    ("nodes", "train_minutes", "score_minutes", "micro_batch", "runs_per_job"), 1
)


def of(needs=None):
    """An experiment of a model with these needs."""
    model = NANO if needs is None else NANO | {"needs": needs}
    return load({"name": "t", "grid": GRID, "models": {"nano": model}})


def test_defaults():
    """As the README has them; all that an entry without `needs` asks for."""
    expected = dict(gpu=1, nodes=1, mem_mb=8000, train_minutes=60, score_minutes=60)
    expected |= dict(micro_batch=64, batch_tokens=16384, gradient_checkpointing=False, runs_per_job=1, shard=False)
    assert of().needs("nano").model_dump() == of({}).needs("nano").model_dump() == expected


def test_what_an_entry_says_is_what_its_jobs_ask_for():
    said = dict(
        gpu=0, nodes=2, mem_mb=900, train_minutes=9, score_minutes=8, micro_batch=3, batch_tokens=512, runs_per_job=5
    )
    said |= dict(gradient_checkpointing=True, shard=False)
    assert of(said).needs("nano").model_dump() == said
    assert of({"mem_mb": 9e3}).needs("nano") == Needs(mem_mb=9000)
    assert isinstance(of({"mem_mb": 9e3}).needs("nano").mem_mb, int)  # Snakemake takes no other


@pytest.mark.parametrize("key", LEAST)
def test_out_of_bounds_is_one_line(key):
    least = LEAST[key]
    of({key: least})
    with refused("out-of-bounds", f"models.nano.needs.{key}", f"at least {least}"):
        of({key: least - 1})
    for wrong in ("8 GB", 1.5, True, None, [9000]):
        with refused("wrong-type", f"models.nano.needs.{key}", "a whole number"):
            of({key: wrong})


@pytest.mark.parametrize("wrong", [1, 0, "yes", None])
def test_gradient_checkpointing_is_yes_or_no(wrong):
    assert of({"gradient_checkpointing": True}).needs("nano").gradient_checkpointing is True
    with refused("wrong-type", "models.nano.needs.gradient_checkpointing", "true or false"):
        of({"gradient_checkpointing": wrong})


def test_an_unknown_key_is_one_line():
    with refused("unknown-key", "models.nano.needs", "mean mem_mb?"):
        of({"mem_gb": 8})


@given(st.builds(Needs, **{key: st.integers(least, 10**6) for key, least in LEAST.items()}))
def test_further_attempts_take_more_time_and_memory_and_are_otherwise_the_first(needs):
    assert needs.at(1) == needs
    grows = ("mem_mb", "train_minutes", "score_minutes")
    for attempt in (2, 3, 9):
        assert needs.at(attempt).model_dump() == needs.model_dump() | {
            key: attempt * getattr(needs, key) for key in grows
        }


def test_no_run_knows_of_them():
    """Not its id, not its fields, not the models that it builds on; so nothing is done again."""
    plain, asking = of(), of({"gpu": 0, "mem_mb": 900, "micro_batch": 1})
    assert plain.lineage() == asking.lineage()
    assert [run.id for run in plain.lineage()] == [run.id for run in asking.lineage()]
    assert not set(KEYS) & set(FIELDS)
