"""Scoring keeps away from cuDNN's attention, and leaves the process as it was."""

import pytest
import torch
from torch import nn

from baldro.scoring import likelihood, table


def test_kernels_that_take_any_shape(monkeypatch):
    seen = []

    def looked_at(*_args, **_options):
        seen.append(torch.backends.cuda.cudnn_sdp_enabled())
        raise ZeroDivisionError

    monkeypatch.setattr(table, "prepare", looked_at)
    monkeypatch.setattr(likelihood.several, "share", looked_at)
    with pytest.raises(ZeroDivisionError):
        table.evidence(nn.Linear(1, 1), None, "{question}", None, split="s", max_new_tokens=1)
    with pytest.raises(ZeroDivisionError):
        likelihood.reference(nn.Linear(1, 1), [])
    assert seen == [False, False] and torch.backends.cuda.cudnn_sdp_enabled()
