"""A made-up benchmark and a model of one layer, whose runs take a second each, and verbs called as a person calls them."""

import json
from collections.abc import Iterator
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from baldro.cli import main
from baldro.jobs import finished
from baldro.runs import Run

BENCHMARK = dict(
    kind="fictional", authors=10, questions=2, known_authors=5, background_authors=2, world_facts=5,
    forget={"forget10": "retain90", "forget20": "retain80"},
)  # fmt: skip
SHAPE = dict(vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
TINY = dict(build=SHAPE, prompt="{question}\n")


def id_of(objective: str, split: str = "forget10", **values: object) -> str:
    """The id of a run of `small` and `tiny`."""
    return Run.of(benchmark="small", model="tiny", split=split, objective=objective, **values).id


PRETRAIN = id_of("pretrain", "base", max_steps=4, batch_size=8, lr=0.01)


def words(verb: str, **options: object) -> list[str]:
    """A command line from keyword options: retain_split="x" is --retain-split x, and alone=True is --alone."""
    given = [(f"--{name.replace('_', '-')}", value) for name, value in options.items()]
    return [verb, *(word for flag, value in given for word in ((flag,) if value is True else (flag, str(value))))]


def baldro(verb: str, **options: object) -> int:
    """The exit code of main([...]), its options as those of `words`."""
    return main(words(verb, **options))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Verbs compute on the CPU; they set the number of threads, which is put back."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        yield
    torch.set_num_threads(threads)


# Runs of train that are held against others --------------------------------------------------------------------------

UNLEARN = id_of("npo", variant="baldro-dv", epochs=60, batch_size=2, lr=0.01)
SHORT = id_of("npo", variant="baldro-dv", epochs=4, batch_size=2, lr=0.01)
TIMES = ["tokens_per_second", "seconds"]
OUTPUTS = set(finished.OUTPUTS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A benchmark, a base model, its reference values, and a long and a short undisturbed unlearning run."""
    root = tmp_path_factory.mktemp("results")
    at = SimpleNamespace(root=root, given=dict(benchmark=root / "small.parquet", model=root / "tiny.json"))
    codes = [
        baldro("benchmark", definition=json.dumps(BENCHMARK), output=root / "small.parquet"),
        baldro("model", name="tiny", definition=json.dumps(TINY), output=root / "tiny.json"),
        baldro("train", run=PRETRAIN, output=root / "base", **at.given),
    ]
    start = dict(at.given, start=root / "base/model")
    codes += [baldro("reference", run=id_of("original"), output=root / "reference.parquet", **start)]
    at.unlearn = dict(start, run=UNLEARN, retain_split="retain90", reference=root / "reference.parquet", every=0)
    at.short = dict(at.unlearn, run=SHORT)
    codes += [baldro("train", output=root / "long", **at.unlearn), baldro("train", output=root / "short", **at.short)]
    assert codes == [0] * 6
    return at


def assert_same_run(folder, other):
    """Weights bit for bit, rows but for their times."""
    assert (folder / "model/model.safetensors").read_bytes() == (other / "model/model.safetensors").read_bytes()
    pd.testing.assert_frame_equal(*(pd.read_parquet(f / "dynamics.parquet") for f in (folder, other)))
    rows = [pd.read_csv(f / "train.csv") for f in (folder, other)]
    pd.testing.assert_frame_equal(*(frame.drop(columns=TIMES) for frame in rows))
    assert rows[0]["seconds"].is_monotonic_increasing
    assert json.loads((folder / "run.json").read_text())["steps"] == len(rows[0])


def files(folder):
    """Every file's bytes and time."""
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def names(folder):
    return {path.name for path in folder.iterdir()}
