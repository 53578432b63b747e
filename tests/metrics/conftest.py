"""Published per-sample logs, and evidence frames: made up, and rebuilt from a published log."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ..conftest import absent

TOFU_LOGS = {
    "full, forget01": "tofu_Llama-3.2-1B-Instruct_full__evals_forget01__TOFU_EVAL.numeric.json.gz",
    "full, forget05": "tofu_Llama-3.2-1B-Instruct_full__evals_forget05__TOFU_EVAL.numeric.json.gz",
    "full, forget10": "tofu_Llama-3.2-1B-Instruct_full__evals_forget10__TOFU_EVAL.numeric.json.gz",
    "retain99": "tofu_Llama-3.2-1B-Instruct_retain99__TOFU_EVAL.numeric.json.gz",
    "retain95": "tofu_Llama-3.2-1B-Instruct_retain95__TOFU_EVAL.numeric.json.gz",
    "retain90": "tofu_Llama-3.2-1B-Instruct_retain90__TOFU_EVAL.numeric.json.gz",
}
MUSE_LOGS = {
    "news, target": "muse_Llama-2-7b-hf_News_target__MUSE_EVAL.numeric.json.gz",
    "news, retrain": "muse_Llama-2-7b-hf_News_retrain__MUSE_EVAL.numeric.json.gz",
}


class Log:
    """One published log: `values` per sample, in order, and the `aggregate` they were summed up to."""

    def __init__(self, content: dict):
        self.content = content

    def values(self, metric: str, key: str = "score") -> np.ndarray:
        rows = self.content[metric]["value_by_index"]
        return np.array([rows[str(i)][key] for i in range(len(rows))], dtype=np.float64)

    def aggregate(self, metric: str) -> float:
        return self.content[metric]["agg_value"]


def read_gz(path: Path) -> dict:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


@pytest.fixture(scope="session")
def logs(shared: Path) -> dict[str, Log]:
    folder = shared / "data" / "golden"
    if missing := [file for file in {**TOFU_LOGS, **MUSE_LOGS}.values() if not (folder / file).is_file()]:
        absent(f"{folder} holds other logs: no {missing[0]}")
    return {name: Log(read_gz(folder / file)) for name, file in {**TOFU_LOGS, **MUSE_LOGS}.items()}


@pytest.fixture(params=TOFU_LOGS)
def tofu_log(request: pytest.FixtureRequest, logs: dict[str, Log]) -> Log:
    return logs[request.param]


@pytest.fixture(params=[*TOFU_LOGS, *MUSE_LOGS])
def any_log(request: pytest.FixtureRequest, logs: dict[str, Log]) -> Log:
    return logs[request.param]


@pytest.fixture(scope="session")
def rouge_texts(shared: Path) -> dict[str, dict]:
    """'full, forget01' and 'retain99' -> metric -> rows with ground_truth, generation and their published ROUGE."""
    content = read_gz(shared / "data" / "golden" / "rouge_text_Llama-3.2-1B.json.gz")
    full, retain = sorted(content)
    return {"full, forget01": content[full], "retain99": content[retain]}


@pytest.fixture(scope="session")
def hits_with() -> Callable[[float, float], list[bool]]:
    """(published EM, published ES) -> the shortest answer's hits that have both."""

    def build(memorised: float, strength: float) -> list[bool]:
        for n in range(1, 500):
            right, prefix = round(memorised * n), round((1 - strength) * n)
            early = right - (n - prefix)  # hits within the prefix, whose last token is a miss
            # the logs' EM is a single-precision quotient, one or two units off in the last place; their ES is exact
            fits = abs(right / n - memorised) < 2e-7 and 1 - prefix / n == strength
            if fits and 0 <= early <= max(0, prefix - 1):
                return [True] * early + [False] * (prefix - early) + [True] * (n - prefix)
        raise AssertionError(f"no answer under 500 tokens has EM {memorised} and ES {strength}")

    return build


BLANK = {"tokens": 0, "end": False, "avg_loss": np.nan, "gradient_norm": np.nan, "clean": np.nan, "generation": None}
TOFU_SECTIONS = {
    "forget": ("answer", "paraphrase"),
    "retain": ("answer", "paraphrase"),
    "real_authors": ("answer",),
    "world_facts": ("answer",),
}
MUSE_SECTIONS = ("forget_knowmem", "retain_knowmem", "verbmem", "forget", "holdout")
COLUMNS = [
    *("section", "index", "candidate", "question", "text", "tokens", "end", "avg_loss", "logp", "hit", "mu", "sigma"),
    *("gradient_norm", "generation", "clean"),
]


def evidence(rows: list[dict], kind: str) -> pd.DataFrame:
    frame = pd.DataFrame(rows)[COLUMNS]
    frame.attrs["kind"] = kind
    return frame


def measured(random: np.random.Generator, tokens: int, *, end: bool) -> dict:
    """What a model might say to one answer; its losses, statistics and gradient norm do not contradict each other."""
    logp = -random.exponential(1.5, tokens).astype(np.float32)
    return {
        "tokens": tokens,
        "end": end,
        "avg_loss": -float(np.mean(logp.astype(np.float64))),
        "logp": logp.tolist(),
        "hit": (random.random(tokens) < 0.6).tolist(),
        "mu": (-random.uniform(1, 5, tokens)).astype(np.float32).tolist(),
        "sigma": random.uniform(0.5, 2, tokens).astype(np.float32).tolist(),
        "gradient_norm": float(random.uniform(0.5, 5)),
    }


@pytest.fixture(scope="session")
def make_samples() -> Callable[..., pd.DataFrame]:
    """A frame of made-up TOFU evidence; `seed` moves what was measured, never what was asked."""

    def build(seed: int = 0, n: int = 6, wrong: int = 3, *, holdout: bool = True) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        sections = {**TOFU_SECTIONS, **({"holdout": ("answer",)} if holdout else {})}
        rows = []
        for section, names in sections.items():
            for index in range(n):
                options = [] if section == "holdout" else [f"wrong_{j}" for j in range(wrong)]
                for candidate in [*names, *options]:
                    row = measured(random, 2 + (index + len(candidate)) % 7, end=True)
                    row |= {"section": section, "index": index, "candidate": candidate, "generation": None}
                    row |= {"question": f"What is {section} {index}?", "clean": np.nan}
                    row["text"] = f"the {candidate} of {section} is {index} {index * 'and so on '}".strip()
                    if candidate == "answer" and section != "holdout":
                        words = random.choice(
                            ["the", "answer", "of", section, "is", str(index)], random.integers(3, 12)
                        )
                        row |= {"generation": " ".join(words), "clean": float(random.random())}
                    row["clean"] = row["clean"] if section == "forget" else np.nan
                    taken = candidate == "answer" and section in ("forget", "holdout")
                    row["gradient_norm"] = row["gradient_norm"] if taken else np.nan
                    rows.append(row)
        return evidence(rows, "tofu")

    return build


@pytest.fixture(scope="session")
def make_muse() -> Callable[..., pd.DataFrame]:
    """The same for MUSE: short questions without likelihoods, passages to go on with, running text that is only scored."""

    def build(seed: int = 0, n: int = 6) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        rows = []
        for section in MUSE_SECTIONS:
            for index in range(n):
                row = {"section": section, "index": index, "candidate": "answer", "text": f"the {section} went {index}"}
                row["question"] = "" if section in ("forget", "holdout") else f"What of {section} {index}?"
                if section.endswith("knowmem"):
                    row |= {**BLANK, **{name: [] for name in ("logp", "hit", "mu", "sigma")}}
                else:
                    row |= {**BLANK, **measured(random, 3 + index % 5, end=False)}
                if section not in ("forget", "holdout"):
                    words = random.choice(["the", section, "went", str(index), "home"], random.integers(3, 12))
                    row |= {"generation": " ".join(words), "gradient_norm": np.nan}
                rows.append(row)
        return evidence(rows, "muse")

    return build


@pytest.fixture(scope="session")
def at() -> Callable[..., pd.Series]:
    """Which rows of a frame are this section, index and candidate."""

    def find(samples: pd.DataFrame, section: str, index: int, candidate: str = "answer") -> pd.Series:
        return (samples["section"] == section) & (samples["index"] == index) & (samples["candidate"] == candidate)

    return find


@pytest.fixture(scope="session")
def put(at) -> Callable[..., pd.DataFrame]:
    """The frame with the given cells of one row changed."""

    def change(samples: pd.DataFrame, *, section="retain", index=3, candidate="answer", **cells) -> pd.DataFrame:
        samples = samples.astype(dict.fromkeys(cells, object))
        row = samples.index[at(samples, section, index, candidate)][0]
        for column, value in cells.items():
            samples.at[row, column] = value
        return samples

    return change
