"""Optimisers and stochastic rounding: unbiased, exact where bf16 is, resumed to the bit; 8-bit moments where bitsandbytes is installed."""

import pytest
import torch
from devices import on_devices
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused
from tiny import llama, sequences
from torch import nn

from baldro.durable.lease import Stop
from baldro.durable.progress import Progress
from baldro.models import DTYPES
from baldro.runs import Run
from baldro.training.loop import Execution, train
from baldro.training.optimizer import optimiser
from baldro.training.rounding import LOST, draw, stochastic
from baldro.training.update import Sample

pytestmark = pytest.mark.usefixtures("one_cpu_thread")


def run_of(kind="adamw", precision="bf16-stochastic", **values):
    if kind == "adamw-8bit":
        pytest.importorskip("bitsandbytes")
    settled = dict(lr=1e-3, batch_size=3, max_steps=6, warmup_epochs=0, schedule="constant") | values
    point = dict(benchmark="b", model="m", split="forget10", objective="graddiff")
    return Run.of(**point, precision=precision, optimiser=kind, **settled)


# Rounding ------------------------------------------------------------------------------------------------------------


EVERY = torch.arange(1 << LOST, dtype=torch.int32)
"""Each number that may be drawn, once: a mean over them is the expectation, to the last bit."""


@given(x=st.floats(-(2.0**127), 2.0**127, width=32))
def test_the_expectation_is_the_value_and_each_result_one_of_its_neighbours(x):
    found = stochastic(torch.full((len(EVERY),), x), EVERY).double()
    assert found.mean().item() == x, "exactly: all are whole multiples of one gap"
    below, above = found.min(), found.max()
    neighbour = torch.nextafter(below.bfloat16(), torch.tensor(torch.inf).bfloat16()).double()
    assert below <= x <= above and above in (below, neighbour)


def test_what_bf16_holds_stays():
    held = torch.arange(-(1 << 15), 1 << 15).short().view(torch.bfloat16)
    held = held[~held.isnan()]
    for u in (0, 1, len(EVERY) - 1):
        found = stochastic(held.float(), torch.full_like(held, u, dtype=torch.int32))
        assert torch.equal(found.view(torch.int16), held.view(torch.int16))
    assert stochastic(torch.full((len(EVERY),), torch.nan), EVERY).isnan().all()


def test_an_update_of_a_thousandth_is_lost_to_nearest_and_kept_on_average():
    """Of 4,096 weights: the mean's standard deviation is at most 1/256 * sqrt(100 / 4096)."""
    torch.manual_seed(0)
    nearest = kept = torch.ones(4096, dtype=torch.bfloat16)
    for _ in range(100):
        nearest, kept = (nearest.float() + 1e-3).bfloat16(), stochastic(kept.float() + 1e-3, draw(kept))
    assert (nearest == 1).all()
    assert kept.double().mean().item() == pytest.approx(1.1, abs=5 / 256 * (100 / 4096) ** 0.5)


# A whole optimiser ---------------------------------------------------------------------------------------------------

REPEATS, WEIGHTS, STEPS = 512, 64, 40


def trajectory(run, dtype):
    """Weights (REPEATS, WEIGHTS) after STEPS steps whose gradients are the same in every row and do not depend on the weights."""
    made = torch.Generator().manual_seed(1)
    start = (0.5 + torch.rand(WEIGHTS, generator=made)).bfloat16()
    gradients = torch.randn(STEPS, WEIGHTS, generator=made).bfloat16() + 0.5
    model = nn.ParameterList([start.expand(REPEATS, WEIGHTS).to(dtype).clone()])
    made_by = optimiser(model, run)
    for step, gradient in enumerate(gradients):
        torch.manual_seed(step)
        model[0].grad = gradient.expand(REPEATS, WEIGHTS).to(dtype).clone()
        made_by.step()
    return model[0].detach().double(), start.double(), gradients.double()


def textbook(start, gradients, *, lr, decay):
    """Loshchilov and Hutter (arXiv 1711.05101), Algorithm 2, in float64."""
    w, m, v = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - lr * decay * w - lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    return w


def test_the_mean_trajectory_is_the_float64_one_and_to_nearest_it_is_not():
    """AdamW is linear in the weights where gradients do not depend on them: the expectation of an unbiased step is the exact step."""
    found, start, gradients = trajectory(run_of(weight_decay=0.1), torch.bfloat16)
    exact = textbook(start, gradients, lr=1e-3, decay=0.1)
    error = (found.mean(0) - exact).abs()
    assert (error < 5 * found.std(0) / REPEATS**0.5 + 1e-6).all()
    assert (start - exact).abs().mean() > 50 * error.mean(), "far from where it began"
    nearest, *_ = trajectory(run_of(precision="bf16-only", weight_decay=0.1), torch.bfloat16)
    assert (nearest.mean(0) - exact).abs().mean() > 20 * error.mean()


@pytest.mark.parametrize("weights", ["fp32", "bf16-stochastic"])
def test_8_bit_moments_give_nearly_the_steps_of_float32_ones(weights):
    """To some percent of the way, which a moment's 8 bits are good for (each is within 1 to 6 % of the value)."""
    run = run_of("adamw-8bit", weights, weight_decay=0.1)
    found, start, gradients = trajectory(run, DTYPES[weights])
    exact = textbook(start, gradients, lr=1e-3, decay=0.1)
    assert (found.mean(0) - exact).norm() < 0.05 * (exact - start).norm()


def test_a_weight_that_is_kept_in_float32_is_not_rounded():
    """As some architectures' routers are."""
    weight = torch.linspace(0.1, 1, 12)
    models = [nn.ParameterList([weight.clone()]) for _ in range(2)]
    for model, precision in zip(models, ("fp32", "bf16-stochastic"), strict=True):
        model[0].grad = weight.clone()
        optimiser(model, run_of(precision=precision)).step()
    assert torch.equal(models[0][0], models[1][0])


SPLIT = """
import torch
from torch import nn
from torch.distributed import destroy_process_group, init_process_group
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from baldro.runs import Run
from baldro.training import shards
from baldro.training.optimizer import optimiser

init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
point = dict(benchmark="b", model="m", split="s", objective="graddiff")
run = Run.of(**point, precision="bf16-stochastic", lr=1e-3)


def split(tensor):
    return distribute_tensor(tensor, mesh, [Shard(0)])


def begin(place):
    torch.manual_seed(0)
    weights = [torch.randn(5, 8).bfloat16(), torch.randn(3).bfloat16()]
    model = nn.ParameterList([nn.Parameter(place(weight)) for weight in weights])
    return model, optimiser(model, run)


def go(model, made_by, steps, place):
    for step in steps:
        draw = torch.Generator().manual_seed(step)
        for p in model:
            p.grad = place(torch.randn(p.shape, generator=draw).bfloat16())
        torch.manual_seed(step)
        made_by.step()


alone, made_by = begin(lambda tensor: tensor)
go(alone, made_by, range(6), lambda tensor: tensor)
first, made_by = begin(split)
go(first, made_by, range(3), split)
state = shards.whole({"model": first.state_dict(), "optimizer": made_by.state_dict()}, keep=True)
model, made_by = begin(split)
state |= shards.load(state, model, made_by)
model.load_state_dict(state["model"])
made_by.load_state_dict(state["optimizer"])
go(model, made_by, range(3, 6), split)
for one, other in zip(model, alone, strict=True):
    assert torch.equal(one.full_tensor(), other)
destroy_process_group()
"""


@pytest.mark.processes
def test_split_over_devices_weights_are_those_of_one_to_the_bit():
    """Resumed halfway, too; the first weight's five rows are three and two."""
    on_devices(2, SPLIT)


# In training ---------------------------------------------------------------------------------------------------------


def fit(folder, run, *, stop_in=None):
    """A model as training left it, matrices of at least 4,096 weights, which 8 bits are for; perhaps stopped in a step.

    Returns: the model and the types of its optimiser's state.
    """
    size = dict(hidden_size=64, intermediate_size=64)
    model, stop, advance = llama(dropout=0.1, dtype=DTYPES[run.precision], **size), Stop(), Progress.advance
    forget, retain = ([Sample(tokens=t) for t in sequences(1, (9, 7, 12, 8))], sequences(2, (8, 10, 6)))

    def asking(self, **options):
        advance(self, **options)
        stop.asked = "SIGTERM" if self.done + 1 == stop_in else ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "advance", asking)
        options = dict(forget=forget, retain=retain, output=folder, identity="same", stop=stop)
        done = train(model, run, **options, execution=Execution(checkpoint_minutes=None))
    states = done.state.optimizer.state.values()
    return model, {str(value.dtype) for state in states for value in state.values() if torch.is_tensor(value)}


@pytest.mark.parametrize(
    ("kind", "precision", "types"),
    [
        ("adamw", "bf16-stochastic", {"torch.float32"}),
        ("adamw-8bit", "bf16-stochastic", {"torch.float32", "torch.uint8"}),
        ("adamw-8bit", "fp32", {"torch.float32", "torch.uint8"}),
        ("adamw-8bit", "bf16-only", {"torch.float32", "torch.uint8"}),
    ],
)
def test_a_resumed_run_is_the_undisturbed_one(tmp_path, kind, precision, types):
    run = run_of(kind, precision)
    undisturbed, held = fit(tmp_path / "a", run)
    assert held == types and {p.dtype for p in undisturbed.parameters()} == {DTYPES[precision]}
    with refused("stopped-by-signal", "after step 3"):
        fit(tmp_path / "b", run, stop_in=3)
    resumed, _ = fit(tmp_path / "b", run)
    assert resumed.state_dict().keys() == undisturbed.state_dict().keys()
    assert all(torch.equal(p, undisturbed.state_dict()[name]) for name, p in resumed.state_dict().items())


def test_small_steps_move_weights_that_rounding_to_nearest_leaves(tmp_path):
    """At the paper's learning rate: some of the weights in each step, not most."""
    before = llama(dtype=torch.bfloat16, hidden_size=64, intermediate_size=64).state_dict()
    moved = {}
    for precision in ("bf16-only", "bf16-stochastic"):
        model, _ = fit(tmp_path / precision, run_of(precision=precision, lr=1e-5, weight_decay=0))
        changed = [(p != before[name]).flatten() for name, p in model.state_dict().items()]
        moved[precision] = torch.cat(changed).double().mean().item()
    assert moved["bf16-only"] < 0.1 and 0.02 + 2 * moved["bf16-only"] < moved["bf16-stochastic"] < 0.5
