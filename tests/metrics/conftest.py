"""Published per-sample logs, and evidence frames: made up, and rebuilt from a published log."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

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


@pytest.fixture
def make_samples() -> Callable[..., pd.DataFrame]:
    """A frame of made-up evidence; `seed` moves the losses, hits and generations, never what was asked."""

    def build(seed: int = 0, n: int = 6, wrong: int = 3) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        rows = []
        for section in ("forget", "retain", "real_authors", "world_facts"):
            names = ["answer", *(["paraphrase"] if section in ("forget", "retain") else [])]
            for index in range(n):
                for candidate in [*names, *(f"wrong_{j}" for j in range(wrong))]:
                    tokens = int(random.integers(1, 9))
                    rows.append(
                        {
                            "section": section,
                            "index": index,
                            "candidate": candidate,
                            "question": f"What is {section} {index}?",
                            "text": f"the {candidate} of {section} is {index}",
                            "tokens": tokens,
                            "avg_loss": float(random.exponential(1.5)),
                            "hit": (random.random(tokens) < 0.6).tolist(),
                            "generation": f"the answer {random.integers(3)}" if candidate == "answer" else None,
                        }
                    )
        return pd.DataFrame(rows)

    return build
