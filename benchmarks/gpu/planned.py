"""What `baldro plan` says of the work that is timed here: its own functions, asked about an experiment of these sizes."""

import torch

from baldro.plan import cost, fits
from baldro.plan import memory as held
from baldro.plan.gpus import GPU, GPUS
from baldro.runs import Experiment, Run
from baldro.runs.experiment import experiment
from benchmarks.gpu.work import Shape

BENCHMARK, MODEL, SPLIT = "rows", "shape", "forget10"


def card(name: str, *, bf16: float, fp32: float, bandwidth: float, memory: float) -> tuple[str, GPU]:
    """The plan's entry of a card by its name; for one that the plan does not know, what was measured of it."""
    known = {key: gpu for key, gpu in GPUS.items() if key.removeprefix("rtx").partition("-")[0] in name.lower()}
    if known:
        return min(known.items(), key=lambda each: abs(each[1].memory - memory))
    return "measured", GPU(bf16=bf16, fp32=fp32, memory=memory, bandwidth=bandwidth)


class Planned:
    """The plan of a model of some shape on rows of so many tokens.

    Args:
        rows: of each of the four sections that are scored.
        tokens: mean of a prompt with its answer.
        limit: new tokens at most.
    """

    def __init__(self, shape: Shape, *, rows: int, tokens: float, limit: int, micro_batch: int = 64):
        sizes = {name: rows for name in ("retain_perturbed", "real_authors_perturbed", "world_facts_perturbed")}
        benchmark = {
            "kind": "tofu", "source": ["hub:none/none@main"], "forget": {SPLIT: "retain90"}, "max_new_tokens": limit,
            "rows": {**sizes, f"{SPLIT}_perturbed": rows, SPLIT: 3200, "retain90": 3200, "full": 6400}, "tokens_per_row": tokens,
        }  # fmt: skip
        model = {
            "target": ["hub:none/none@main"], "retain": {"retain90": ["hub:none/none@main"]}, "parameters": shape.parameters,
            "layers": shape.num_hidden_layers,
            "needs": {"micro_batch": micro_batch, "batch_tokens": 10**6},
        }  # fmt: skip
        self.definitions = {"models": {MODEL: model}, "benchmarks": {BENCHMARK: benchmark}}

    def experiment(self, run: Run) -> Experiment:
        """The experiment of one run."""
        point = {name: value for name, value in run.asdict().items() if value is not None}
        return experiment({"name": "gpu", "grid": point}, **self.definitions)

    def run(self, **fields: object) -> Run:
        """A run of one step."""
        return Run.of(benchmark=BENCHMARK, model=MODEL, split=SPLIT, max_steps=1, **fields)

    def step_seconds(self, run: Run, gpu: GPU) -> float:
        """Of one optimiser step."""
        return cost.train_seconds(self.experiment(run), run, gpu)

    def memory(self, run: Run, micro_batch: int) -> float:
        """Bytes in training."""
        return held.of(fits.with_needs(self.experiment(run), MODEL, {"micro_batch": micro_batch}), run).training

    def scoring(self, gpu: GPU) -> tuple[float, float]:
        """Seconds of all candidate answers, and of all continuations."""
        asked = self.experiment(self.run(objective="npo"))
        original = asked.original(asked.runs[-1])
        return cost.candidates_seconds(asked, original, gpu), cost.generation_seconds(asked, original, gpu)


def memory_of(device: torch.device) -> float:
    """Bytes of a card, or of the machine."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    import os

    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
