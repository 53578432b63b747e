"""What fits on a card: by hand, the least that is to be done first, and what is suggested is a config that fits."""

from dataclasses import replace

import pytest
import yaml
from planned import BENCHMARK, PAPER, ROOT

from baldro.config import load
from baldro.plan import GPUS, compare, cost, describe, fits, hours, jobs, memory, sizes
from baldro.plan.amounts import checkpoint_bytes
from baldro.plan.gpus import named

MODEL = {"target": ["hub:a/b@main"], "retain": {"retain90": ["hub:a/c@main"]}, "parameters": 6e9}
WIDTH, DEPTH = sizes.shape("m", MODEL)
SCALES = 2 * 4 / 256
"""Of 8-bit moments: a float32 for each block of 256."""


def experiment(*, needs=None, parameters=6e9, **axes):
    """One run of a model of six billion parameters: 108 GB of state in bf16."""
    settled = {"objective": "npo", "batch_size": 8, "epochs": 2, "precision": "bf16", **axes}
    grid = {"benchmark": "b", "model": "m", "split": "forget10", **settled}
    model = {**MODEL, "parameters": parameters, "needs": needs or {}}
    return load({"name": "x", "grid": grid, "models": {"m": model}, "benchmarks": {"b": BENCHMARK}})


def found(gpu: str, **options) -> list[fits.Setting]:
    asked = experiment(**options)
    _, device, cards = named(gpu)
    (settings,) = fits.find(asked, jobs(asked)["unlearn"], device, cards=cards).values()
    return settings


def of(gpu=1, *, needs=None, **axes) -> memory.Memory:
    asked = experiment(needs={"gpu": gpu, **(needs or {})}, **axes)
    return memory.of(asked, jobs(asked)["unlearn"][0])


def test_parts_by_hand():
    held = of()
    token = 1.5 * 50 * WIDTH * DEPTH * 34
    assert (held.weights, held.gradients, held.moments) == (36e9, 24e9, 48e9)
    assert held.activations == pytest.approx(16 * token)
    assert held.training == pytest.approx(108e9 + 16 * token + 2e9)
    assert (held.stored, held.cache) == (12e9, 16384 * 2 * DEPTH * WIDTH * 2)
    assert held.most == held.training and held.scoring == held.stored + held.cache + 2e9


@pytest.mark.parametrize(
    ("precision", "optimiser", "parts"),  # weight and copy, gradient, two moments
    [
        ("fp32", "adamw", (4, 4, 8)),
        ("bf16", "adamw", (4 + 2, 4, 8)),
        ("bf16-only", "adamw", (2, 2, 4)),
        ("bf16-stochastic", "adamw", (2, 2, 8)),
        ("fp32", "adamw-8bit", (4, 4, 2 + SCALES)),
        ("bf16", "adamw-8bit", (4 + 2, 4, 2 + SCALES)),
        ("bf16-stochastic", "adamw-8bit", (2, 2, 2 + SCALES)),
    ],
)
def test_bytes_of_a_trained_parameter(precision, optimiser, parts):
    asked = experiment(precision=precision, optimiser=optimiser)
    run = jobs(asked)["unlearn"][0]
    held = memory.of(asked, run)
    assert (held.weights, held.gradients, held.moments) == pytest.approx([6e9 * part for part in parts])
    weight = 2 if precision.startswith("bf16-") else 4
    assert checkpoint_bytes(asked, run) == pytest.approx(6e9 * (weight + parts[2]))


def test_a_4_bit_base_by_hand():
    """A tenth of the weights are embeddings, with the copy that bf16 computes with; adapters of rank 8 beside the rest."""
    held, A = of(lora_rank=8, lora_base="nf4"), 8 * DEPTH * (8 * WIDTH + 3 * (WIDTH + round(8 / 3 * WIDTH)))
    assert held.weights == pytest.approx(6e9 * (0.1 * 6 + 0.9 * 0.516) + 6 * A)
    assert (held.gradients, held.moments) == (4 * A, 8 * A)
    assert held.stored == 12e9, "what is saved is an ordinary model"


@pytest.mark.parametrize("cards", [2, 4])
@pytest.mark.parametrize("again", [False, True])
def test_parts_of_several_cards_by_hand(cards, again):
    """Split: a share of the state, three blocks in float32, the gradient of one; copies in bf16, of one block if it is computed again."""
    whole, block = of(needs={"gradient_checkpointing": again}), 6e9 / DEPTH
    held = of(cards, needs={"shard": True, "gradient_checkpointing": again})
    assert held.weights == pytest.approx(24e9 / cards + 3 * 4 * block + 2 * block * (1 if again else DEPTH))
    assert held.gradients == pytest.approx(24e9 / cards + (4 + 4) * block)
    assert held.moments == pytest.approx(48e9 / cards)
    assert held.activations == pytest.approx(whole.activations / cards), "each its samples"
    copies = of(cards, needs={"gradient_checkpointing": again})
    assert (copies.weights, copies.moments, copies.activations) == (whole.weights, whole.moments, held.activations)
    assert copies.scoring == whole.scoring
    assert held.stored == pytest.approx(12e9 / cards + 3 * 2 * block) and held.cache == whole.cache
    asked = experiment(needs={"gpu": cards, "shard": True})
    node = memory.node_bytes(asked, jobs(asked)["unlearn"][0])
    held = max(cards * 6e9 * 4, 6e9 * 12)  # each process reads the model, and one writes a checkpoint
    assert node == held + cards * memory.PROCESS


def test_what_cannot_be_split_is_not_proposed():
    assert not [s for s in found("8xa100-40", lora_rank=8, lora_start="fila", parameters=2e10) if s.needs.get("shard")]


@pytest.mark.parametrize(("gpus", "shard"), [(2, False), (4, False), (2, True), (4, True)])
def test_seconds_on_several_cards_by_hand(gpus, shard):
    """Bound by what the cards send: at each pass all weights, and its gradients; or a step's gradients, summed and told."""
    asked = experiment(needs={"gpu": gpus, "shard": shard, "micro_batch": 2})
    slow = replace(GPUS["a100-80"], link=1e6)
    run, passes = jobs(asked)["unlearn"][0], -(-16 // (2 * gpus))
    sent = 24e9 * 2 * passes + 24e9 * passes if shard else 2 * 24e9
    expected = 10 * sent * (gpus - 1) / gpus / (0.6 * 1e6)
    traffic = 10 * 28 * 6e9 / (gpus if shard else 1) / (0.6 * 2039e9)
    assert cost.train_seconds(asked, run, slow) == pytest.approx(expected + traffic)
    held = sum(hours(asked, gpu="a100-80").values()) - sum(hours(experiment(), gpu="a100-80").values())
    assert held > 0, "a job holds all of its cards as long as it lasts"


def test_two_nodes_of_two_cards_are_four_cards_behind_a_slower_link():
    one, two = (experiment(needs={"shard": True, **needs}) for needs in ({"gpu": 4}, {"gpu": 2, "nodes": 2}))
    run, fast = jobs(one)["unlearn"][0], replace(GPUS["a100-80"], link=1e18)
    assert memory.of(one, run) == memory.of(two, run)
    assert memory.node_bytes(one, run) > memory.node_bytes(two, run)
    assert cost.train_seconds(one, run, fast) < cost.train_seconds(two, run, fast)
    assert cost.train_seconds(two, run, fast) == cost.train_seconds(one, run, replace(fast, link=25e9))
    assert "2 nodes with 2 GPUs each" in describe(two, gpu="a100-80")


@pytest.mark.parametrize("gpus", [2, 4])
def test_seconds_of_scoring_on_several_cards_by_hand(gpus):
    """Each its share of the rows; of a model that is split, bound here by what the cards send: its weights for each pass."""
    needs, slow = {"gpu": gpus, "batch_tokens": 1024}, replace(GPUS["a100-80"], link=1e6)
    copies, asked = experiment(needs=needs), experiment(needs=needs | {"shard": True})
    run, tokens = jobs(asked)["unlearn"][0], 50 * (40 * 7 + 30 * 7 + 20 * 4 + 10 * 4)
    whole = 2 * 6e9 * tokens / (0.3 * 312e12)
    assert cost.candidates_seconds(copies, run, slow) == pytest.approx(whole / gpus)
    sent = 12e9 * (gpus - 1) / gpus / (0.6 * 1e6)
    assert cost.candidates_seconds(asked, run, slow) == pytest.approx(sent * -(-tokens // (1024 * gpus)))
    steps = 100 * -(-(100 // gpus) // (1024 // 150))  # of the longest answer, as many batches
    assert cost.generation_seconds(asked, run, slow) == pytest.approx(sent * steps)
    assert cost.generation_seconds(copies, run, slow) == pytest.approx(DEPTH * 1e-3 * steps)  # launches


def test_what_changes_no_number_comes_first():
    """In the order of its price: smaller passes, activations again, more cards; then other runs, as far as these help at all."""
    long = {"batch_size": 64}
    for memory_of, needs in (
        (of(**long), {}),
        (of(needs={"micro_batch": 8}, **long), {"micro_batch": 8}),
        (of(needs={"micro_batch": 8, "gradient_checkpointing": True}, **long), {"gradient_checkpointing": True}),
    ):
        gpu = GPUS["h200"].__class__(bf16=1, fp32=1, bandwidth=1, memory=memory_of.most)
        asked = experiment(**long)
        settings = fits.settings(asked, jobs(asked)["unlearn"], gpu, cards=1)
        chosen = fits.suggested(settings)
        assert not chosen.fields and chosen.memory.most <= gpu.memory
        assert needs.keys() <= chosen.needs.keys(), needs
    settings = found("8xa100-40", **long)
    assert fits.suggested(settings).needs["gpu"] == 4 and not fits.suggested(settings).fields
    assert [setting.needs.get("gpu", 1) for setting in settings if not setting.fields] == [1, 1, 2, 4]
    assert all(setting.fields for setting in settings[4:])


def test_scoring_must_fit_too():
    """12 GB of weights and the keys and values of 32,768 tokens are more than 24 GB; of half as many they are not."""
    settings = found("rtx4090", lora_rank=8, precision="bf16-only", needs={"batch_tokens": 32768})
    assert not settings[0].fits and settings[0].memory.training < 24e9 < settings[0].memory.scoring
    assert fits.suggested(settings).needs == {"batch_tokens": 16384, "mem_mb": 15000}


def test_the_configured_number_of_cards_is_tried_first_and_no_more_than_there_are():
    assert found("h200", needs={"gpu": 2})[0].fits
    few = found("1xh200", needs={"gpu": 2})
    assert not few[0].fits and few[0].needs == {} and fits.suggested(few).needs == {"gpu": 1, "mem_mb": 75000}


@pytest.mark.parametrize("gpu", ["4xa100-40", "a100-80", "rtx4090"])
def test_what_is_suggested_is_a_config_that_fits(gpu):
    chosen = fits.suggested(found(gpu))
    if chosen is None:
        assert "WARNING: more than there is on" in describe(experiment(), gpu=gpu)
        return
    text = describe(experiment(), gpu=gpu)
    name = named(gpu)[0]
    written = {line.partition(": ")[2] for line in text.splitlines() if line.startswith("    in ")}
    needs = [yaml.safe_load(line.removesuffix(", beside what it says")) for line in written if "needs: " in line]
    fields = [yaml.safe_load(f"{{{line}}}") for line in written if "needs: " not in line]
    again = experiment(needs=needs[0]["needs"] if needs else {}, **(fields[0] if fields else {}))
    assert "more than there is" not in describe(again, gpu=name) and "mem_mb" not in describe(again, gpu=name)
    assert describe(again, gpu=name).split("GPU hours")[1] == text.split("GPU hours")[1], "hours are of what fits"


def test_the_pages_table_is_the_plans():
    """`baldro plan --config experiments/paper-tofu.yaml --gpu a100-80 2xa100-40 4xa100-40 h200` prints it."""
    table = compare(load(PAPER), ["a100-80", "2xa100-40", "4xa100-40", "h200"])
    assert table in (ROOT / "docs" / "cluster.md").read_text()
