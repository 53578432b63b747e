"""The same comparison on models that know something: target and retain model of the default experiment, as `make run` leaves them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from baldro import models
from baldro import scoring as score
from baldro.metrics import evaluate, from_samples

from ..conftest import absent

ROOT = Path(__file__).resolve().parents[2]
ROWS = 6


@pytest.fixture(scope="module")
def records():
    path = ROOT / "results" / "data" / "fictional.parquet"
    return pd.read_parquet(path) if path.is_file() else absent(f"no {path}; `make run` leaves it")


def opened(part):
    pattern = f"fictional--tiny--{part}--finetune*/model"
    found = [path for path in sorted((ROOT / "results" / "runs").glob(pattern)) if (path / "config.json").is_file()]
    folder = str(found[0] if found else absent(f"no {pattern}; `make run` leaves it"))
    return models.load(folder).eval(), models.tokenizer(folder)


def test_every_metric_is_what_the_definitions_say(records, plain):
    """The numbers that a table prints, in single precision as they are scored."""
    options = dict(split="forget10", holdout="holdout10", max_new_tokens=32)
    ours, theirs = [], []
    for part in ("full", "retain90"):
        model, tokenizer = opened(part)
        taken = score.evidence(model, tokenizer, "{question}\n", records, **options, evaluate_rows=ROWS)
        ours.append(from_samples(taken, where=part))
        rows = pd.DataFrame(plain(model, tokenizer, "{question}\n", records, **options, rows=ROWS))
        rows.attrs = {"kind": "fictional"}
        theirs.append(from_samples(rows.assign(gradient_norm=np.nan, clean=np.nan), where=part))
    ours, theirs = evaluate(*ours), evaluate(*theirs)
    assert list(ours.values) == list(theirs.values) and ours.absent == theirs.absent
    assert len(ours.values) > 30
    for name, value in ours.values.items():
        texts = name.endswith(("rouge", "recall", "f1", "repetition", "length"))
        assert value.value == pytest.approx(theirs.values[name].value, abs=0 if texts else 1e-5, rel=0), name


@pytest.mark.parametrize("relative", [0, 1e-6], ids=["float64", "float32"])
@pytest.mark.parametrize("part", ["full", "retain90"])
def test_the_table_is_what_the_definitions_say(part, relative, records, plain):
    """In float32 another order of the same sums alone moves a log-probability of -9 by 1.1e-5, hence the relative part there:

    against float64, one sequence at a time is as far off (1.6e-5 at most, 1.7e-6 in the root mean square) as batches with prefixes.
    """
    model, tokenizer = opened(part)
    model = model if relative else model.double()
    options = dict(split="forget10", holdout="holdout10", max_new_tokens=32)
    taken = score.evidence(model, tokenizer, "{question}\n", records, **options, evaluate_rows=ROWS)
    expected = pd.DataFrame(plain(model, tokenizer, "{question}\n", records, **options, rows=ROWS))
    for name in ("section", "index", "candidate", "text", "tokens", "end"):
        assert taken[name].tolist() == expected[name].tolist()
    made = taken["generation"].notna()
    assert taken.loc[made, "generation"].tolist() == expected.loc[made, "generation"].tolist()
    assert expected.loc[~made, "generation"].isna().all()
    assert [row.tolist() for row in taken["hit"]] == expected["hit"].tolist()
    for name in ("logp", "mu", "sigma"):
        ours, theirs = (np.concatenate(frame[name].tolist()) for frame in (taken, expected))
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=relative, err_msg=name)
    np.testing.assert_allclose(taken["avg_loss"], expected["avg_loss"], atol=1e-5, rtol=0)
