"""A made-up results folder: the files are written as the verbs write them, the numbers are invented but not absurd."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from baldro.analysis.frame import read_results
from baldro.records import dynamics, failure, metrics, per_sample
from baldro.records import run as trainings
from baldro.runs import Run

PROGRESS = {"gradascent": 0.5, "graddiff": 0.55, "npo": 0.75, "simnpo": 0.7, "satimp": 0.65, "published": 0.6}
"""How far from Original (0) to Retain (1) an objective comes."""


SAMPLES = 400
"""Forget samples."""
MUSE = {"verbmem_forget": (0.58, 0.20), "knowmem_forget": (0.64, 0.33), "knowmem_retain": (0.55, 0.55)}
"""Original's and Retain's values on MUSE."""
UTILITY = {
    **{
        f"retain_{part}": (value, 200)
        for part, value in {"probability": 0.93, "rouge": 0.9, "truth_ratio": 0.5}.items()
    },
    **{f"real_authors_{part}": (0.6, 100) for part in ("probability", "rouge", "truth_ratio")},
    **{f"world_facts_{part}": (0.55, 117) for part in ("probability", "rouge", "truth_ratio")},
}
"""Retain's parts of model utility, and of how many samples."""


def progress(run: Run, rng: np.random.Generator) -> float:
    """How far a run came: better for robust variants, best at beta 5, with noise between seeds."""
    done = {"original": 0.0, "retain": 1.0}.get(run.objective)
    if done is None:
        gain = {"base": 0.0, "baldro-g": 0.05}.get(run.variant)
        gain = 0.12 - 0.08 * abs(np.log10(run.dv_beta / 5)) if gain is None else gain
        done = float(np.clip(PROGRESS[run.objective] + gain + rng.normal(0, 0.02), 0, 1))
    return done


def spread(mean: float, n: int, rng: np.random.Generator, split_rng: np.random.Generator) -> np.ndarray:
    """(n,) values of exactly this mean; which samples are hard is a matter of the split, not of the run."""
    noise = 0.03 * split_rng.normal(size=n) + 0.02 * rng.normal(size=n)
    return mean + noise - noise.mean()


def ratios(run: Run, done: float, rng: np.random.Generator, n: int) -> np.ndarray:
    """(n,) truth ratios: the further from Retain, the larger; Retain's own depend on the split only."""
    common = np.random.default_rng([1, *run.split.encode()]).normal(size=n)
    if run.objective == "retain":
        return np.exp(0.5 * common - 0.5)
    return np.exp(0.5 * (0.8 * common + 0.6 * rng.normal(size=n)) - 0.5 + 0.8 * (1 - done))


def values(run: Run, rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Values per sample of a run, truth ratios unaggregated among them."""
    done = progress(run, rng)
    split = np.random.default_rng([2, *run.split.encode()])
    lost = 0.0 if run.objective in ("original", "retain") else 0.02 + 0.1 * (1 - done)
    if run.benchmark.startswith("muse"):
        means = {name: (a + (b - a) * done - (lost if "retain" in name else 0), n) for name, (a, b) in MUSE.items()}
        means |= {"exact_memorization": (0.9 - 0.3 * done, n), "extraction_strength": (0.5 - 0.4 * done, n)}
        return {name: spread(mean, size, rng, split) for name, (mean, size) in means.items()}
    means = {
        "exact_memorization": (0.9 - 0.35 * done, n),
        "extraction_strength": (0.9 - 0.82 * done, n),
        "forget_truth_ratio": (0.52 + 0.15 * done, n),
        "forget_probability": (0.9 - 0.75 * done, n),
        **{name: (mean - lost, size) for name, (mean, size) in UTILITY.items()},
    }
    found = {name: spread(mean, size, rng, split) for name, (mean, size) in means.items()}
    return {"forget_truth_ratio_raw": ratios(run, done, rng, n), **found}


def evaluation(run: Run, *, seed: int = 7, n: int = SAMPLES) -> tuple[metrics.Evaluation, pd.DataFrame]:
    """The metrics of a run, and the values behind them."""
    own = values(run, np.random.default_rng([seed, *run.id.encode()]), n)
    means = {name: float(v.mean()) for name, v in own.items() if name != "forget_truth_ratio_raw"}
    absent = {"fluency": "no classifier was given"}
    intervals = {}
    if "forget_truth_ratio_raw" in own:
        retain = Run.of(benchmark=run.benchmark, model=run.model, split=run.split, objective="retain")
        test = ks_2samp(own["forget_truth_ratio_raw"], ratios(retain, 1.0, None, n))
        d = float(test.statistic)
        means |= {"forget_quality": float(test.pvalue), "forget_quality_d": d}
        means["model_utility"] = len(UTILITY) / sum(1 / means[name] for name in UTILITY)
        intervals = {"forget_quality_d": [max(d - 0.08, 0.0), min(d + 0.06, 1.0)]}
        intervals["model_utility"] = [means["model_utility"] - 0.02, means["model_utility"] + 0.02]
    else:
        means["privleak"] = -99.8 + 100 * progress(run, np.random.default_rng([seed, *run.id.encode()]))
        intervals["privleak"] = [means["privleak"] - 5, means["privleak"] + 5]
    for name, v in own.items():
        half = 1.96 * float(v.std()) / len(v) ** 0.5
        if name in means:
            intervals[name] = [means[name] - half, means[name] + half]
    parts = [pd.DataFrame({"metric": name, "index": range(len(v)), "value": v}) for name, v in own.items()]
    named = dict(metrics=means, intervals=intervals, absent=absent)
    return metrics.Evaluation(run=run.id, definitions="0a1b2c", **named), pd.concat(parts, ignore_index=True)


def visits(run: Run, rng: np.random.Generator, n: int = 40, per_epoch: int = 5) -> list[dict[str, float]]:
    """Dynamics: every sample once an epoch; the samples of a robust run stay closer together."""
    ease = rng.lognormal(0, 0.6 if run.variant == "base" else 0.25, n)
    rows = []
    for epoch in range(int(run.epochs)):
        for place, i in enumerate(rng.permutation(n)):
            step = epoch * per_epoch + place * per_epoch // n
            nll = 0.05 + ease[i] * 0.5 * (step / per_epoch) + abs(rng.normal(0, 0.05))
            row = {
                "step": step,
                "epoch": step / per_epoch,
                "index": int(i),
                "loss": 10 / (1 + nll),
                "weight": 1 / 8,
                "nll": nll,
            }
            rows.append(row)
    return rows


def write_run(results: Path, run: Run, *, seed: int = 7, n: int = SAMPLES) -> dict[str, float]:
    """Every file that a finished run leaves; returns its metrics."""
    evaluated, values = evaluation(run, seed=seed, n=n)
    metrics.write(metrics.place(results, run.id), evaluated)
    per_sample.write(per_sample.place(results, run.id), values)
    if not run.facts.trains:
        return dict(evaluated.metrics)
    trained = trainings.Trained(
        run=run.id,
        spec=run.asdict(),
        start="results/runs/target/model",
        steps=25,
        tokens=5000,
        seconds=12.5,
        peak_memory_bytes=2**30,
        device="cpu: 2 threads",
        versions={"torch": "2.13.0", "transformers": "5.0.0"},
        commit="0123abc",
        data="0d1e2f",
        code="3a4b5c",
        finished="2025-01-01T00:00:00+0000",
    )
    trainings.write(trainings.place(results, run.id), trained)
    seen = visits(run, np.random.default_rng([seed, *run.id.encode()]))
    dynamics.write(dynamics.place(results, run.id), seen)
    return dict(evaluated.metrics)


def grid(
    *,
    splits=("forget05", "forget10"),
    objectives=("npo", "simnpo"),
    variants=("base", "baldro-g", "baldro-dv"),
    betas=(1, 5, 10),
    seeds=(0, 1, 2),
    benchmark="tofu",
    model="llama-2-7b-chat",
    **axes,
) -> list[Run]:
    """Canonical runs, Original and Retain of each split first."""
    runs: dict[Run, None] = {}
    for split in splits:
        for objective in ("original", "retain"):
            runs[Run.of(benchmark=benchmark, model=model, split=split, objective=objective)] = None
        for objective in objectives:
            for variant in variants:
                for beta in betas:
                    for seed in seeds:
                        names = {"benchmark": benchmark, "model": model, "split": split, "objective": objective}
                        values = {"dv_beta": beta, "seed": seed, **axes}
                        runs[Run.of(**names, variant=variant, **values)] = None
    return list(runs)


def as_rows(runs: list[Run]) -> list[dict]:
    """What `write_report` gets."""
    return [{"id": run.id, **run.asdict()} for run in runs]


def write_study(folder: Path, *, samples: int = SAMPLES, **axes) -> tuple[list[dict], Path]:
    """Write the results of a grid, of `samples` forget samples; returns its rows and the results folder. Keywords as of `grid`."""
    runs = grid(**axes)
    for run in runs:
        write_run(folder / "results", run, n=samples)
    return as_rows(runs), folder / "results"


def frame_of(*, lost: Sequence[tuple[int, str | None]] = (), **axes) -> pd.DataFrame:
    """The long table of a study, which is written once however many tests ask for it. lost: (row, reason), as of `lose`."""
    return made(lost=tuple(lost), **axes)[0].copy()


@cache
def made(*, lost: tuple[tuple[int, str | None], ...] = (), **axes) -> tuple[pd.DataFrame, dict]:
    """The same with the values per sample; neither must be changed."""
    with TemporaryDirectory() as folder:
        rows, results = write_study(Path(folder), **axes)
        for at, reason in lost:
            lose(results, rows[at]["id"], reason)
        return read_results(runs=rows, results=results, allow_missing=bool(lost))


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., tuple[list[dict], Path]]:
    """`write_study` into the test's own folder."""
    return partial(write_study, tmp_path)


def lose(results: Path, run: str, reason: str | None = None) -> None:
    """Take a run's result away; with a reason it has failed, otherwise it is just not there."""
    for file in (metrics, per_sample, trainings, dynamics):
        file.place(results, run).unlink(missing_ok=True)
    if reason is not None:
        failure.write(failure.place(results, run), failure.Failure(run=run, stage="train", reason=reason))


@pytest.fixture(name="lose")
def _lose() -> Callable[..., None]:
    return lose


@pytest.fixture
def no_figures(monkeypatch) -> None:
    """Reports without figures, which take most of a report's time."""
    monkeypatch.setattr("baldro.report.figures.draw_all", lambda *args, **named: ([], []))
