"""A chain of requests under the real Snakemake: where each starts, how it goes on after a kill, and what a further one costs."""

import re
import shutil
import time
from itertools import pairwise

import pytest
import yaml
from safetensors.torch import load_file

from baldro.durable.files import read_json

from .conftest import SMALL, Checkout
from .test_killed import kill_all, start

pytestmark = pytest.mark.processes
REQUESTS = ["one", "two", "three", "four", "five"]
FIRST = "few--nano--one--npo--lr=0.01--epochs=20--batch_size=2"
RUNS = [FIRST + "".join(f"--then={request}" for request in REQUESTS[1:n]) for n in range(1, 6)]
FINETUNED = "few--nano--full--finetune--lr=0.002--epochs=2"


def config(checkout: Checkout, requests: int) -> str:
    """Ten authors, half of whom are forgotten one after the other; the benchmark has all requests, whichever are made."""
    few = yaml.safe_load(SMALL)["benchmarks"]["few"]
    few |= dict(forget=dict.fromkeys(REQUESTS, "retain50"), parts={"forget50": REQUESTS})
    grid = dict(benchmark="few", model="nano", objective="npo", lr=1e-2, epochs=20, batch_size=2)
    grid |= dict(requests=REQUESTS[:requests])
    return checkout.write("small.yaml", benchmarks={"few": few}, grid=grid, keep_models=True)


def weights(checkout: Checkout, run: str) -> dict:
    return load_file(checkout.folder / "results/runs" / run / "model/model.safetensors")


def distance(one: dict, other: dict) -> float:
    return sum(float(((one[name] - other[name]) ** 2).sum()) for name in one) ** 0.5


def kept(checkout: Checkout) -> set[str]:
    """The runs of the chain whose models are there."""
    return {path.parent.name for path in checkout.folder.glob("results/runs/*--npo*/model")}


@pytest.fixture(scope="module")
def undisturbed(fresh, tmp_path_factory) -> Checkout:
    """Four requests, with every model kept, and nothing scored."""
    folder = tmp_path_factory.mktemp("chain") / "undisturbed"
    shutil.copytree(fresh.folder, folder)
    checkout = Checkout(folder)
    checkout.snakemake(config(checkout, 4), "--cores", "2", "--notemp", f"results/runs/{RUNS[3]}/run.json", seconds=900)
    return checkout


def test_each_request_starts_from_the_model_of_the_one_before(undisturbed):
    for before, run in pairwise(RUNS[:4]):
        record = read_json(undisturbed.folder / f"results/runs/{run}/run.json")
        assert record["start"] == f"results/runs/{before}/model" and record["spec"]["parent"] == before
    line = [weights(undisturbed, run) for run in (FINETUNED, *RUNS[:4])]
    for at in range(1, len(line)):
        far = [distance(line[at], other) for other in line[:at]]
        assert min(far) == far[-1] > 0, "the nearest earlier model is the one that it was trained from"


def test_a_killed_chain_goes_on_to_the_same_weights_and_a_fifth_request_is_one_training(undisturbed, tmp_path):
    shutil.copytree(undisturbed.folder, tmp_path / "killed")
    checkout = Checkout(tmp_path / "killed")
    for folder in checkout.folder.glob("results/runs/*--npo*"):
        shutil.rmtree(folder)
    process = start(checkout)
    try:
        third = checkout.folder / "results/runs" / RUNS[2]
        deadline = time.monotonic() + 300
        while not third.exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        kill_all(process, checkout.folder)
    assert third.exists() and not (third / "run.json").exists(), "in the middle"
    again = checkout.snakemake("small.yaml", "--cores", "2", seconds=900)  # each model goes once the next is made
    assert not re.search(rf"unlearn\w*  run={re.escape(FIRST)}(?!--)", again.stdout + again.stderr)
    assert kept(checkout) == {RUNS[3]}
    assert distance(weights(checkout, RUNS[3]), weights(undisturbed, RUNS[3])) == 0

    planned = checkout.planned(config(checkout, 5))
    assert not {"benchmark", "finetune", "unlearn", "unlearn_kept"} & set(planned)
    assert planned["unlearn_lasting"] == [RUNS[4]]
    checkout.snakemake("small.yaml", "--cores", "2", f"results/runs/{RUNS[4]}/run.json", seconds=600)
    assert read_json(checkout.folder / f"results/runs/{RUNS[4]}/run.json")["start"] == f"results/runs/{RUNS[3]}/model"
    assert kept(checkout) == {RUNS[4]}
