"""A made-up benchmark and a model of one layer, whose runs take a second each, and verbs called as a person calls them."""

from collections.abc import Iterator

import pytest
import torch

from baldro.cli import main
from baldro.grid import Run

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
