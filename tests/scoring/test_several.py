"""Several processes take the evidence of one, each with the whole model or with a share of it."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from devices import on_devices
from tiny import sequences

from baldro.scoring import evidence, reference
from baldro.scoring.several import share

pytestmark = pytest.mark.processes

DEVICE = """
import os, sys, torch
from baldro.scoring import evidence, reference
from baldro.training import shards

model, tokenizer, prompt, cases, sequences = torch.load(sys.argv[1], weights_only=False)
torch.distributed.init_process_group("gloo")
found = []
for split in (False, True):
    if split:
        shards.shard(model, device=torch.device("cpu"), size=3)
    found += [evidence(model, tokenizer, prompt, records, **options) for records, options in cases]
    found += [reference(model, some, batch_tokens=40) for some in sequences]
torch.save(found, f"{sys.argv[1]}.{os.environ['RANK']}")
torch.distributed.destroy_process_group()
"""


def test_shares_are_even_and_each_row_is_one_processs(monkeypatch):
    lengths = [3, 50, 7, 7, 40, 12, 30, 1]
    shares = []
    for rank in range(3):
        monkeypatch.setattr("baldro.scoring.several.place", lambda rank=rank: (rank, 3))
        shares.append(share(lengths))
    assert sorted(i for own in shares for i in own) == list(range(8)) and all(own == sorted(own) for own in shares)
    assert max(sum(lengths[i] for i in own) for own in shares) == 50


def alike(taken, expected):
    """Rows, order and texts exactly; numbers to rounding."""
    assert list(taken) == list(expected) and taken.attrs == expected.attrs
    for name in taken:
        ours, theirs = taken[name], expected[name]
        if isinstance(theirs.iloc[0], np.ndarray):
            assert ours.map(len).tolist() == theirs.map(len).tolist()
            ours, theirs = (np.concatenate(column.tolist()) for column in (ours, theirs))
        if pd.api.types.is_float_dtype(theirs):
            np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-4, err_msg=name)
        else:
            assert list(ours) == list(theirs), name


def test_three_processes_take_the_evidence_of_one(pair, prompt, tofu, muse, tmp_path):
    """Of question and answer and of running text, of fewer rows than processes, and the reference's values."""
    model, tokenizer = copy.deepcopy(pair[0]), pair[1]
    few = dict(split="forget10", max_new_tokens=6, gradient_norms=True)
    cases = [(tofu, dict(few, holdout="holdout10", batch_tokens=150)), (muse, few), (muse, dict(few, evaluate_rows=1))]
    lengths = [sequences(1, [9, 30, 5, 12, 30, 7, 4]), sequences(2, [8, 6])]
    torch.save((model, tokenizer, prompt, cases, lengths), tmp_path / "given")
    on_devices(3, DEVICE, tmp_path / "given")
    expected = [evidence(model, tokenizer, prompt, records, **options) for records, options in cases]
    expected += [reference(model, some, batch_tokens=40) for some in lengths]
    for rank in range(3):
        found = torch.load(tmp_path / f"given.{rank}", weights_only=False)
        for taken, alone in zip(found, [*expected, *expected], strict=True):
            alike(taken, alone)
