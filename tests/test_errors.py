"""Memory that ran out is one line, in training, in scoring and of the reference, whatever torch calls it."""

import pytest
import torch
from refusals import refused

from baldro.cli import main
from baldro.errors import BaldroError, OutOfMemory, fits, out_of_memory
from baldro.jobs import check
from baldro.scoring import evidence, reference
from baldro.training.loop import train

CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.20 GiB is free. "
    "Including non-PyTorch memory, this process has 77.90 GiB memory in use. If reserved but unallocated memory is large try setting it"
)
TOLD = "Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.20 GiB is free"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError(CUDA), TOLD),
        (RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"), "CUDA error: out of memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), "CUBLAS_STATUS_ALLOC_FAILED"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 4 bytes"), "can't"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("out of memory"), None),
    ],
)  # fmt: skip
def test_what_is_out_of_memory(error, told):
    found = out_of_memory(error)
    assert found is None if told is None else told in found and "\n" not in found


def test_a_cpu_that_cannot_allocate_says_so_in_one_line():
    """The real error, of a tensor larger than any address space."""
    with refused("out-of-memory", "allowed: less"):
        fits("less")(lambda: torch.empty(2**46))()


def test_other_errors_pass_as_they_are():
    with pytest.raises(KeyError, match="x"):
        fits("less")(lambda: {}["x"])()
    assert fits("less")(lambda x: x + 1)(1) == 2 and issubclass(OutOfMemory, BaldroError)


@pytest.mark.parametrize(
    ("function", "lower"), [(train, "micro_batch, gradient_checkpointing"), (evidence, "batch_tokens"), (reference, "batch_tokens")]
)  # fmt: skip
def test_training_and_scoring_say_what_to_lower(function, lower):
    class Full:
        def __getattr__(self, name):
            raise torch.OutOfMemoryError(CUDA)

    class Run:
        seed, lora_rank = 0, None

    options = {
        train: dict(run=Run(), forget=[], retain=[], output=None, identity=""),
        evidence: dict(tokenizer=None, prompt="", records=None, split="", max_new_tokens=1),
        reference: dict(sequences=[]),
    }
    with refused("out-of-memory", TOLD, f"a smaller {lower}"):
        function(Full(), **options[function])


def test_the_command_line_says_it_in_one_line_wherever_it_happens(monkeypatch, capsys):
    def full(_options):
        """As the verb."""
        raise torch.OutOfMemoryError(CUDA)

    monkeypatch.setattr(check, "run", full)
    assert main(["check", "--config", "any.yaml"]) == 2
    said = capsys.readouterr().err
    assert said == f"baldro check: out of memory: {TOLD}; allowed: a smaller model, or a GPU with more memory\n"


def test_ctrl_c_is_one_line_and_its_own_exit_code(monkeypatch, capsys):
    def stopped(_options):
        """As the verb."""
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "run", stopped)
    assert main(["check", "--config", "any.yaml"]) == 130
    assert capsys.readouterr().err == "baldro check: interrupted (Ctrl-C)\n"
