"""A made-up results folder: the files have the real schema, the numbers are invented but not absurd."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from baldro.grid import Run
from baldro.metrics import truth_ratios

PROGRESS = {"gradascent": 0.5, "graddiff": 0.55, "npo": 0.75, "simnpo": 0.7, "satimp": 0.65}
"""How far from Original (0) to Retain (1) an objective comes."""


def numbers(run: Run, rng: np.random.Generator) -> dict[str, float]:
    """Metrics of a run; better for robust variants, best at beta 5, with noise between seeds."""
    done = {"original": 0.0, "retain": 1.0}.get(run.objective)
    if done is None:
        gain = {"base": 0.0, "baldro-g": 0.05}.get(run.variant)
        gain = 0.12 - 0.08 * abs(np.log10(run.dv_beta / 5)) if gain is None else gain
        done = float(np.clip(PROGRESS[run.objective] + gain + rng.normal(0, 0.02), 0, 1))
    d = (1 - done) * 0.6
    utility = 0.63 - (0.0 if run.objective in ("original", "retain") else 0.02 + 0.1 * (1 - done))
    return {
        "forget_quality": float(np.exp(-(d**2) * 250)),
        "forget_quality_d": d,
        "model_utility": utility,
        "exact_memorization": 1 - 0.45 * done,
        "extraction_strength": 1 - 0.92 * done,
        "forget_truth_ratio": 0.52 + 0.15 * done,
        "forget_probability": 0.98 - 0.85 * done,
    }


def evidence(run: Run, seed: int, n: int = 80) -> pd.DataFrame:
    """samples.parquet of Original or Retain: forget section only, four candidates a sample."""
    rng = np.random.default_rng([seed, *run.id.encode()])
    loss = rng.gamma(1.5, 0.03, n) if run.objective == "original" else rng.gamma(6, 0.35, n)
    rows = []
    for i in range(n):
        losses = {
            "answer": loss[i],
            "paraphrase": loss[i] + rng.gamma(3, 0.3),
            "wrong_0": 2 + rng.gamma(3, 0.25),
            "wrong_1": 2 + rng.gamma(3, 0.25),
        }
        for candidate, value in losses.items():
            rows.append(
                {
                    "section": "forget",
                    "index": i,
                    "candidate": candidate,
                    "question": f"question {i}?",
                    "text": f"{candidate} {i}",
                    "tokens": 3,
                    "avg_loss": float(value),
                    "logp": [-float(value)] * 3,
                    "hit": [True, False, True],
                    "mu": [-2.0] * 3,
                    "sigma": [1.0] * 3,
                    "generation": "text" if candidate == "answer" else None,
                }
            )
    return pd.DataFrame(rows)


def against_retain(run: Run, seed: int) -> dict[str, float]:
    """Forget quality of Original, of the evidence itself."""
    retain = Run.of(benchmark=run.benchmark, model=run.model, split=run.split, objective="retain")
    test = ks_2samp(truth_ratios(evidence(run, seed)), truth_ratios(evidence(retain, seed)))
    return {"forget_quality": float(test.pvalue), "forget_quality_d": float(test.statistic)}


def dynamics(run: Run, rng: np.random.Generator, n: int = 40, per_epoch: int = 5) -> pd.DataFrame:
    """dynamics.parquet: every sample once an epoch; the samples of a robust run stay closer together."""
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
    return pd.DataFrame(rows)


def write_run(folder: Path, run: Run, *, seed: int = 7) -> dict[str, float]:
    """Every file that a finished run leaves; returns its metrics."""
    rng = np.random.default_rng([seed, *run.id.encode()])
    folder.mkdir(parents=True, exist_ok=True)
    metrics = numbers(run, rng)
    if run.objective == "original":
        metrics |= against_retain(run, seed)
    (folder / "metrics.json").write_text(json.dumps({"run": run.id, "metrics": metrics}))
    if run.objective in ("original", "retain"):
        evidence(run, seed).to_parquet(folder / "samples.parquet", index=False)
        return metrics
    record = {
        "run": run.id,
        "spec": run.asdict(),
        "versions": {"torch": "2.13.0", "transformers": "5.0.0"},
        "commit": "0123abc",
        "device": "cpu",
        "seconds": 12.5,
        "peak_memory_bytes": 2**30,
        "tokens": 5000,
        "steps": 25,
        "start": "2025-01-01T00:00:00+00:00",
    }
    (folder / "run.json").write_text(json.dumps(record))
    dynamics(run, rng).to_parquet(folder / "dynamics.parquet", index=False)
    return metrics


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


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., tuple[list[dict], Path]]:
    """Write the results of a grid; returns its rows and the results folder. Keywords as of `grid`."""

    def write(**axes) -> tuple[list[dict], Path]:
        runs = grid(**axes)
        for run in runs:
            write_run(tmp_path / "results" / "runs" / run.id, run)
        return as_rows(runs), tmp_path / "results"

    return write


def lose(results: Path, run: str, reason: str | None = None) -> None:
    """Take a run's result away; with a reason it has failed, otherwise it is just not there."""
    folder = results / "runs" / run
    for name in ("metrics.json", "run.json", "dynamics.parquet"):
        (folder / name).unlink(missing_ok=True)
    if reason is not None:
        (folder / "failed.json").write_text(json.dumps({"run": run, "stage": "train", "reason": reason}))


@pytest.fixture(name="lose")
def _lose() -> Callable[..., None]:
    return lose
