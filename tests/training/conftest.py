"""What tests of whole trainings share."""

import signal

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState


@pytest.fixture
def one_cpu_thread(monkeypatch):
    """Equal bits need equal threads; accelerate keeps its precision for the life of a process unless told otherwise."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    threads, handler = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, handler)
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()
