"""Which norms torch's kernel stands for, and that a CPU's stay as they are."""

import copy
import pickle
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F

from baldro.models import norms, twice_differentiable

PLAIN = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3", "phi3": "Phi3", "olmo2": "Olmo2"}
OTHERS = {"gemma2": "Gemma2", "gemma3": "Gemma3"}  # they multiply by 1 + w


def norm(family: str, name: str) -> torch.nn.Module:
    made = getattr(import_module(f"transformers.models.{family}.modeling_{family}"), f"{name}RMSNorm")(16)
    torch.nn.init.normal_(made.weight)
    return made


@pytest.mark.parametrize(("family", "name"), (PLAIN | OTHERS).items())
def test_which_are_fused(family, name):
    made = norm(family, name)
    norms.fuse(made)
    assert ("forward" in vars(made)) == (family in PLAIN)


def test_a_cpus_norm_stays_as_it_is():
    made, x_BH = norm("llama", "Llama"), torch.randn(3, 16)
    before = made(x_BH)
    norms.fuse(made)
    assert torch.equal(made(x_BH), before)


@pytest.mark.parametrize("mixed", [False, True])
def test_on_a_gpu_the_kernel_is_called_where_it_is_the_same_function(mixed, monkeypatch):
    """`is_cuda` is all that a CPU lacks to go the GPU's way."""
    made = norm("llama", "Llama").requires_grad_(False)
    x_BH = torch.randn(3, 16, dtype=torch.bfloat16 if mixed else torch.float32)
    expected, called = made(x_BH), []
    norms.fuse(made)
    other = pickle.loads(pickle.dumps(copy.deepcopy(made)))
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(F, "rms_norm", lambda *args: called.append(args[0]) or torch.rms_norm(*args))
    assert float((made(x_BH) - expected).abs().max()) < 1e-5
    assert len(called) == (not mixed)  # of two types torch has no kernel
    with twice_differentiable():
        assert torch.equal(made(x_BH), expected) and len(called) == (not mixed)
    other.weight.zero_()
    assert other(x_BH).abs().max() == 0, "a copy's norm is the copy's"
