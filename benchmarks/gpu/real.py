"""A real result: an experiment's runs one after the other in this process, by the verbs that the workflow calls, without Snakemake.

Models that all runs start from come first, then seed by seed; when the time is over, the report is made of what there is.
"""

import contextlib
import importlib.util
import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from baldro.cli.main import main as baldro
from baldro.config import load
from baldro.errors import BaldroError
from baldro.places import parts, resolve
from baldro.records import benchmark, evidence, finished, metrics, model, per_sample, reference, store
from baldro.records import run as record
from baldro.runs import Experiment, Run
from benchmarks.gpu.record import Context, OverBudget

EXPERIMENT = Path(__file__).resolve().parents[2] / "experiments" / "smollm2-tofu.yaml"
REPORT = 15.0
"""Seconds that are kept for the report."""
NEEDED = {
    "pyarrow": "pyarrow", "gguf": "gguf", "pydantic": "pydantic", "matplotlib": "matplotlib", "nltk": "nltk",
    "rouge_score": "rouge-score", "scipy": "scipy",
}  # fmt: skip
"""Modules that a bare machine may lack, and the packages that have them."""
QUICK = {
    "models": {
        "quick": {
            "build": {
                "vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
            },
            "prompt": "{question}\n",
            "pretrain": {"lr": 2e-3, "epochs": 1},
            "finetune": {"lr": 2e-3, "epochs": 1},
        }
    },
    "benchmarks": {
        "quick": {
            "kind": "fictional", "authors": 10, "questions": 4, "known_authors": 4, "background_authors": 4, "world_facts": 4,
            "forget": {"forget10": "retain90"}, "max_new_tokens": 8,
        }
    },
    "grid": {
        "benchmark": "quick", "model": "quick", "split": "forget10", "objective": ["npo", "simnpo"], "variant": ["base", "baldro-dv"],
        "epochs": 1, "batch_size": 2, "seed": [0, 1],
    },
}  # fmt: skip
"""In small: invented rows and a model from scratch, so that nothing has to be at hand."""


def rows(context: Context) -> Iterator[dict[str, Any] | str]:
    """A row a run, then the main table as text."""
    lacking = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if lacking:
        yield f"not run: {', '.join(lacking)} not installed; allowed: pip install {' '.join(lacking)}"
        return
    config = {**yaml.safe_load(EXPERIMENT.read_text(encoding="utf-8")), **(QUICK if context.quick else {})}
    try:
        experiment = load(config, files=[] if context.quick else [EXPERIMENT])
        absent = _absent(experiment)
    except BaldroError as error:
        absent = str(error)
    if absent:
        yield f"not run: {absent}"
        return
    work = Work(experiment, config, context.folder / "real")
    until = context.until - REPORT
    try:
        for row in work.rows():
            yield row
            if time.monotonic() > until:
                yield f"stopped at its budget: {work.scored} of {len(experiment.runs)} rows scored"
                break
    except OverBudget:
        yield f"cut off: {work.scored} of {len(experiment.runs)} rows scored"
    yield work.report()


def _absent(experiment: Experiment) -> str | None:
    """Weights or rows that would have to come from the hub."""
    found = {
        f"model {name}, {part}": places
        for name, model in experiment.models.items()
        for part, places in parts(model).items()
    }
    found |= {
        f"benchmark {name}": entry["source"] for name, entry in experiment.benchmarks.items() if "source" in entry
    }
    for what, places in found.items():
        if resolve(places, what=what).path is None:
            return f"{what} is not on this machine; looked at {', '.join(places)}; allowed: a file or folder at one of the local places"
    return None


class Work:
    """The verbs of an experiment, in order.

    Args:
        results: gets what `results` gets from the workflow.
    """

    def __init__(self, experiment: Experiment, config: dict[str, Any], results: Path):
        self.experiment, self.config, self.results = experiment, config, results
        self.scored = 0
        shutil.rmtree(results, ignore_errors=True)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Everything in order; a row for each run that was trained or scored."""
        self._described()
        made = [run for run in self.experiment.lineage() if run not in self.experiment.runs]
        compared = [run for run in self.experiment.runs if not run.facts.trains]
        unlearnt = [run for run in self.experiment.runs if run.facts.forgets]
        for run in made:
            yield self._row(run, train=self._train(run))
        for run in compared:
            if run.objective == "original":
                self._reference(run)
        for run in [*compared, *sorted(unlearnt, key=lambda run: run.seed)]:
            trained = self._train(run) if run.facts.trains else None
            seconds = self._score(run)
            self.scored += 1
            yield self._row(run, train=trained, score=seconds)

    def report(self) -> str:
        """The main table; the whole report lies in `results`/reports."""
        self._do("report", "--config", json.dumps(self.config), "--results", self.results, "--allow-missing")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            baldro(["summary", "--config", json.dumps(self.config), "--results", str(self.results)])
        return printed.getvalue().strip()

    # The verbs, as the rules call them ---------------------------------------------------------------------------------

    def _described(self) -> None:
        for name, definition in self.experiment.benchmarks.items():
            where = benchmark.place(self.results, name)
            self._do("benchmark", "--definition", json.dumps(definition), "--output", where)
        for name, definition in self.experiment.models.items():
            where = model.place(self.results, name)
            self._do("model", "--name", name, "--definition", json.dumps(definition), "--output", where)

    def _train(self, run: Run) -> float:
        needs, options = self.experiment.needs(run.model), []
        if run.facts.forgets:
            options = ["--retain-split", self.experiment.retain_split(run)]
            if self.experiment.references(run):
                options += ["--reference", reference.place(self.results, self.experiment.original(run).id)]
        again = int(needs.gradient_checkpointing)
        memory = ["--micro-batch", needs.micro_batch, "--gradient-checkpointing", again]
        return self._do(
            "train", *self._of(run), *options, *memory, "--output", self._folder(run), "--checkpoint-minutes", 60
        )

    def _reference(self, run: Run) -> float:
        where = reference.place(self.results, run.id)
        return self._do("reference", *self._of(run), *self._at_once(run), "--output", where)

    def _score(self, run: Run) -> float:
        limit = self.experiment.definition(run.benchmark).max_new_tokens
        samples = evidence.place(self.results, run.id)
        own = ["--start", self._folder(run) / finished.MODEL] if run.facts.trains else self._start(run)
        options = [*self._of(run, start=own), *self._at_once(run), "--max-new-tokens", limit, "--output", samples]
        held = self.experiment.holdout_split(run)
        options += ["--holdout", held] if held else []
        seconds = self._do("score", *options)
        retain = evidence.place(self.results, self.experiment.retain(run).id)
        if not retain.is_file():  # the original model is scored first
            return seconds
        for one in [run, *([self.experiment.original(run)] if run.objective == "retain" else [])]:
            at = (self.results, one.id)
            written = ["--output", metrics.place(*at), "--per-sample", per_sample.place(*at)]
            given = ["--samples", evidence.place(*at), "--retain-samples", retain]
            seconds += self._do("metrics", "--run", one.id, *given, *written)
        return seconds

    def _of(self, run: Run, start: list[Any] | None = None) -> list[Any]:
        made = [
            "--benchmark",
            benchmark.place(self.results, run.benchmark),
            "--model",
            model.place(self.results, run.model),
        ]
        return ["--run", run.id, *made, *(self._start(run) if start is None else start), "--threads", _threads()]

    def _start(self, run: Run) -> list[Any]:
        made_by = self.experiment.start(run)
        return ["--start", self._folder(made_by) / finished.MODEL] if made_by else ["--part", self.experiment.part(run)]

    def _at_once(self, run: Run) -> list[Any]:
        return ["--batch-tokens", self.experiment.needs(run.model).batch_tokens]

    def _folder(self, run: Run) -> Path:
        return store.folder(self.results, run.id)

    def _do(self, verb: str, *options: Any) -> float:
        """Seconds that a verb took.

        Raises:
            BaldroError: it ended with an error, which it has printed.
        """
        began, log = time.monotonic(), self.results / "verbs.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            code = baldro([verb, *map(str, options)])
        if code:
            raise BaldroError(f"baldro {verb} ended with {code}; its line is above, the others in {log}")
        return time.monotonic() - began

    def _row(self, run: Run, *, train: float | None = None, score: float | None = None) -> dict[str, Any]:
        recorded = record.place(self.results, run.id)
        info = record.read(recorded) if recorded.is_file() else None
        return {
            "run": run.id,
            "steps": info and info.steps,
            "tokens/s": info and info.tokens / info.seconds,
            "peak GB": info and info.peak_memory_bytes / 1e9,
            "train s": train,
            "score and metrics s": score,
        }


def _threads() -> int:
    import torch

    return torch.get_num_threads()
