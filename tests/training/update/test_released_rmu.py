"""RMU as released: torch's mean squared error over whole padded batches, and three matrices that are trained; against plain float64."""

import copy

import pytest
import torch
from refusals import refused

from baldro.runs import Run
from baldro.training.optimizer import train_only

from .conftest import CLOSE

RELEASED = dict(rmu_positions="padded", retain_loss="activations")


def run(**values) -> Run:
    given = dict(rmu_layer=0, rmu_steering=6.5, forget_weight=1, retain_weight=3, **RELEASED) | values
    return Run.of(benchmark="fictional", model="tiny", split="forget10", objective="rmu", **given)


def hidden(model, sequences, layer=0) -> torch.Tensor:
    """Behind a layer at every position, (B, L, H): padded on the left by the end of sequence, which no token reads."""
    longest = max(len(s.ids) for s in sequences)
    ids = [[2] * (longest - len(s.ids)) + list(s.ids) for s in sequences]
    read = [[0] * (longest - len(s.ids)) + [1] * len(s.ids) for s in sequences]
    seen = model(torch.tensor(ids), attention_mask=torch.tensor(read), output_hidden_states=True)
    return seen.hidden_states[layer + 1]


def released(book, forget, retain) -> torch.Tensor:
    """The two losses as they are written down: mean over batch, positions and width, element by element."""
    h_BLH, kept_BLH = hidden(book.model, [s.tokens for s in forget]), hidden(book.model, retain)
    with torch.no_grad():
        frozen_BLH = hidden(book.reference, retain)
    u_H = torch.rand(h_BLH.shape[-1], generator=torch.Generator().manual_seed(0))
    assert (u_H >= 0).all(), "uniform, not normal"
    goal_H = 6.5 * (u_H / u_H.norm()).double()
    return torch.nn.functional.mse_loss(h_BLH, goal_H.expand_as(h_BLH)) + 3 * torch.nn.functional.mse_loss(
        kept_BLH, frozen_BLH
    )


@pytest.mark.parametrize("micro_batch", [64, 2], ids=["one pass", "pieces"])
def test_loss_and_gradient_are_the_released_ones(book, micro_batch):
    forget, retain = book.forget_batch(5), book.draw(4, seed=2, longest=5)
    assert len({len(t.ids) for t in retain} | {len(s.tokens.ids) for s in forget}) > 3, "padding differs"
    total = released(book, forget, retain)
    expected = {k: g for k, g in book.gradient(total).items() if g.any()}
    found, log = book.ours(run(), forget, retain, micro_batch=micro_batch)
    assert float(log.loss_B.mean() + 3 * log.retain) == pytest.approx(total.item(), rel=1e-6)
    assert book.distance({k: found[k] for k in expected}, expected) < CLOSE
    assert all(float(g.norm()) < 1e-9 for k, g in found.items() if k not in expected)
    at_answers, _ = book.ours(run(rmu_positions="answer"), forget, retain)
    assert book.distance({k: at_answers[k] for k in expected}, expected) > 0.01, "this batch tells the forms apart"


def test_three_matrices_are_trained_and_all_again_afterwards(tiny_model):
    train_only(tiny_model, run(rmu_layer=1, rmu_weights="down-proj"))
    trained = [name for name, p in tiny_model.named_parameters() if p.requires_grad]
    assert trained == [f"model.layers.{i}.mlp.down_proj.weight" for i in (0, 1)]
    deep = copy.deepcopy(tiny_model)
    deep.model.layers.extend(
        copy.deepcopy(list(tiny_model.model.layers)) + copy.deepcopy(list(tiny_model.model.layers))
    )
    train_only(deep, run(rmu_layer=4, rmu_weights="down-proj"))
    trained = [name for name, p in deep.named_parameters() if p.requires_grad]
    assert trained == [f"model.layers.{i}.mlp.down_proj.weight" for i in (2, 3, 4)]
    train_only(tiny_model, run())
    assert all(p.requires_grad for p in tiny_model.parameters())
    tiny_model.model.layers[0].mlp = torch.nn.Identity()
    with refused("no-down-proj", "LlamaForCausalLM"):
        train_only(tiny_model, run(rmu_layer=1, rmu_weights="down-proj"))


@pytest.mark.parametrize(
    "values",
    [
        dict(retain_normalisation="token-sum"),
        dict(forget_normalisation="token-mean"),
        dict(robust_scope="micro-batch"),
        dict(variant="baldro-dv", dv_level="token"),
        dict(variant="baldro-g", g_retain="cut"),
    ],
    ids=lambda values: " ".join(values),
)
def test_means_over_other_parts_than_the_batch_are_refused(values):
    with refused("padded-means", list(values)[-1], list(values.values())[-1]):
        run(**values)


def test_adapters_are_not_trained_beside_matrices():
    with refused("adapters-and-weights", "lora_rank"):
        run(rmu_weights="down-proj", lora_rank=4)
