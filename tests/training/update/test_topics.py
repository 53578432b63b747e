"""Topics that alternate (released RMU): whole trainings against the loop of the paper's code, written down in float64."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import refused

from baldro.durable.lease import Stop
from baldro.durable.progress import Progress
from baldro.runs import Run
from baldro.training.loop import Execution, train

from .test_released_rmu import hidden

TOPICS, RETAIN_TOPICS = [0, 1, 0, 0, 1, 0, 1, 0], [1, 0, None, 0, 1, 0]
STEPS = 9
MATRICES = [f"model.layers.{i}.mlp.down_proj.weight" for i in (0, 1)]


def run(**values) -> Run:
    """Topic 0 has a batch of 2, 2 and 1, topic 1 of 2 and 1, and their laps end at different steps."""
    released = dict(rmu_layer=1, rmu_positions="padded", rmu_weights="down-proj")
    settled = dict(rmu_steering=6.5, retain_weight=3, lr=1e-2, batch_size=2, epochs=9, max_steps=STEPS, seed=3)
    plain = dict(warmup_epochs=0, schedule="constant", clip_norm=0, weight_decay=0)
    given = released | settled | plain | values
    return Run.of(benchmark="b", model="m", split="s", objective="rmu", **given)


@pytest.fixture(autouse=True)
def no_norm(book):
    """So that the last hidden states of transformers are those behind the last layer."""
    book.model.model.norm = torch.nn.Identity()


def fit(book, folder, point, *, stop=None, **execution):
    """A copy of the model, trained; and the rows that it left."""
    model = copy.deepcopy(book.model)
    forget = [replace(s, topic=t) for s, t in zip(book.given(point, book.forget_batch(8)), TOPICS, strict=True)]
    done = train(
        model, point, forget=forget, retain=book.draw(6, seed=2), retain_topics=RETAIN_TOPICS, output=folder, identity="same", stop=stop,
        execution=Execution(checkpoint_minutes=None, **execution),
    )  # fmt: skip
    return dict(model.named_parameters()), done.state


def laps(rows, stream):
    """A topic's samples, lap after lap in another order each."""
    orders = [np.random.default_rng([3, stream, lap]).permutation(len(rows)) for lap in range(9)]
    return [rows[i] for order in orders for i in order]


def textbook(book):
    """Topic after topic: its next batch, its vector, its retain samples; AdamW on the matrices."""
    model, frozen = copy.deepcopy(book.model), copy.deepcopy(book.model)
    forget, retain = [s.tokens for s in book.forget_batch(8)], book.draw(6, seed=2)
    draws, vectors, queues = torch.Generator().manual_seed(3), [], []
    for topic, sizes in enumerate(([2, 2, 1], [2, 1])):
        u_H = torch.rand(model.config.hidden_size, generator=draws)
        vectors.append(6.5 * (u_H / u_H.norm()).double())
        own = laps([i for i, t in enumerate(TOPICS) if t == topic], 10 * topic)
        kept = laps([i for i, t in enumerate(RETAIN_TOPICS) if t in (topic, None)], 10 * topic + 1)
        ends = np.cumsum(sizes * 9)
        queues.append([(own[end - n : end], kept[end - n : end]) for end, n in zip(ends, sizes * 9, strict=True)])
    optimizer = torch.optim.AdamW([model.get_parameter(name) for name in MATRICES], lr=1e-2, weight_decay=0)
    taken = []
    for step in range(STEPS):
        topic = step % 2
        own, kept = queues[topic].pop(0)
        h_BLH, kept_BLH = (behind(model, [s[i] for i in rows]) for s, rows in ((forget, own), (retain, kept)))
        with torch.no_grad():
            frozen_BLH = behind(frozen, [retain[i] for i in kept])
        away, drift = (h_BLH - vectors[topic]).square().mean(), (kept_BLH - frozen_BLH).square().mean()
        optimizer.zero_grad()
        (away + 3 * drift).backward()
        optimizer.step()
        taken.append((own, away.item(), drift.item()))
    return dict(model.named_parameters()), taken


def behind(model, sequences):
    return hidden(model, sequences, layer=1)


@pytest.mark.parametrize("micro_batch", [64, 1], ids=["one pass", "pieces"])
def test_a_training_is_that_of_the_released_loop(book, tmp_path, micro_batch):
    expected, taken = textbook(book)
    found, state = fit(book, tmp_path, run(), micro_batch=micro_batch)
    for step, (own, away, drift) in enumerate(taken, start=1):
        assert [row["index"] for row in state.dynamics if row["step"] == step] == own
        row = state.rows[step - 1]
        assert (row["forget_loss"], np.nan_to_num(row["retain_loss"])) == pytest.approx((away, drift), abs=1e-12)
    for name, weight in expected.items():
        assert float((found[name] - weight).detach().abs().max()) < 1e-9, name


def test_a_training_that_was_interrupted_ends_as_if_it_was_not(book, tmp_path, monkeypatch):
    undisturbed, state = fit(book, tmp_path / "a", run(), micro_batch=1)
    advance = Progress.advance
    with Stop() as stop, monkeypatch.context() as patch, refused("stopped-by-signal", "after step 4"):

        def advance_and_stop(self, **options):
            advance(self, **options)
            stop.asked = "a test" if self.done == 3 else ""

        patch.setattr(Progress, "advance", advance_and_stop)
        fit(book, tmp_path / "b", run(), micro_batch=1, stop=stop)
    continued, again = fit(book, tmp_path / "b", run(), micro_batch=1)
    assert all(torch.equal(continued[name], weight) for name, weight in undisturbed.items())
    assert again.dynamics == state.dynamics


@pytest.mark.parametrize("precision", ["bf16-only", "bf16"])
def test_in_bf16_it_is_the_same_to_rounding(book, tmp_path, precision):
    """From weights that bf16 has; their type is float32 beside bf16 arithmetic."""
    book.model.bfloat16().double()
    _, taken = textbook(book)
    book.model.to(torch.bfloat16 if precision == "bf16-only" else torch.float32)
    before = {name: p.detach().clone() for name, p in book.model.named_parameters()}
    found, state = fit(book, tmp_path, run(precision=precision), micro_batch=1)
    assert {name for name, weight in before.items() if not torch.equal(found[name], weight)} == set(MATRICES)
    assert {p.dtype for p in found.values()} == {p.dtype for p in before.values()}
    ours, exact = [row["forget_loss"] for row in state.rows], [away for _, away, _ in taken]
    assert ours == pytest.approx(exact, rel=0.02) and ours != pytest.approx(exact, rel=1e-5)
