"""What a run costs on a GPU: seconds, memory, disk. Estimates from counts; every assumption is a constant of this file."""

import math
from dataclasses import dataclass

from baldro.benchmarks import Section
from baldro.plan import passes, sizes
from baldro.prompts.limits import SEQUENCES
from baldro.runs import COMBINERS, Experiment, Run
from baldro.training.schedule import Schedule

TRAIN_SHARE, SCORE_SHARE, BANDWIDTH_SHARE = 0.4, 0.3, 0.6
"""Assumed shares of the peak: arithmetic in training and in scoring, memory traffic in decoding and in the optimiser."""
LAUNCH = 6e-4
"""Assumed seconds that a layer's kernels take to be launched, at least: what bounds small models and decoding."""
FROZEN = {"fp32": 4, "bf16": 6, "bf16-only": 2, "bf16-stochastic": 2}
"""Bytes per parameter that is not trained (LoRA): its weight; bf16 also keeps a copy to compute with."""
FISHER = 4
"""Bytes per frozen parameter more, while FILA's start is made: its Fisher information (gradients are dropped one by one)."""
DECOMPOSED = 5e11
"""Assumed FLOP/s of a decomposition in fp64, which is far from the peak of any GPU."""
STORED = {"fp32": 4, "bf16": 2, "bf16-only": 2, "bf16-stochastic": 2}
"""Bytes per parameter of a saved model."""
WEIGHT = {"fp32": 4, "bf16": 4, "bf16-only": 2, "bf16-stochastic": 2}
"""Bytes per weight in training, and per gradient."""
MOMENT = {"fp32": 4, "bf16": 4, "bf16-only": 2, "bf16-stochastic": 4}
"""Bytes of each of AdamW's two moments, per trained parameter: of the weight's type, or of the float32 update's."""
EIGHT_BIT = 1 + 4 / 256
"""The same of adamw-8bit in every precision: a byte, and a float32 scale for each block of 256. Below 4,096 weights they are float32."""
COPIED = 52
"""Bytes per parameter that bf16-stochastic reads and writes beside: float32 copies of weight and gradient, and what is drawn."""
ACTIVATION = 34
"""Bytes per token, layer and unit of width kept for the backward pass in 16 bits (Korthikanti et al. 2022, without attention scores)."""
INPUT = 2
"""The same with gradient checkpointing: a layer's input; other activations are kept for one layer at a time."""
PADDING = 1.5
"""Assumed ratio of padded to real tokens in a batch of mixed lengths."""
OVERHEAD = 2e9
"""Assumed bytes of the GPU's context and of the logits in memory at a time."""
PROCESS = 2.5e9
"""Assumed bytes of the node that a job takes without weights: Snakemake 0.2e9, torch and transformers 0.5e9 (measured), a GPU's context."""
EVIDENCE = 12
"""Bytes of evidence per token of a candidate with its question, compressed (measured: 17 per answer token, two thirds of the tokens)."""


@dataclass(frozen=True, kw_only=True)
class GPU:
    """A GPU's data sheet (dense arithmetic, without sparsity)."""

    bf16: float
    """FLOP/s in bf16 with fp32 accumulation."""
    fp32: float
    """FLOP/s in fp32 (PyTorch's default for matrices, no TF32)."""
    memory: float
    """Bytes."""
    bandwidth: float
    """Bytes/s of its memory."""


GPUS = {
    "a100": GPU(bf16=312e12, fp32=19.5e12, memory=80e9, bandwidth=2039e9),  # SXM, 80 GB
    "h100": GPU(bf16=989e12, fp32=67e12, memory=80e9, bandwidth=3350e9),  # SXM
    "h200": GPU(bf16=989e12, fp32=67e12, memory=141e9, bandwidth=4800e9),  # SXM
    "l40s": GPU(bf16=362e12, fp32=91.6e12, memory=48e9, bandwidth=864e9),
    "rtx4090": GPU(bf16=165e12, fp32=82.6e12, memory=24e9, bandwidth=1008e9),
}


def precision(experiment: Experiment, run: Run) -> str:
    """What a run computes in; a model that is only scored, in what it is stored in (published ones: bf16)."""
    if run.facts.trains:
        return run.precision
    start = experiment.start(run)
    return start.precision if start else "bf16"


def train_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """6 FLOP per parameter and token forward and backward, and what the optimiser reads and writes.

    A frozen parameter takes 4 (it has no gradient of its own), one that gradient checkpointing computes again 2 more.
    """
    P, depth = _model(experiment, run)
    A = trained(experiment, run)
    again = int(experiment.needs(run.model).gradient_checkpointing)
    rows, at_once = _rows(experiment, run), experiment.needs(run.model).micro_batch
    schedule = Schedule.of(run, rows)
    work = P * passes.per_row(run, (3 if A == P else 2) + again, at_once)
    work += 0 if A == P else A * passes.per_row(run, 3 + again, at_once)
    flops = 2 * (work * schedule.drawn + P * passes.rows_once(run, rows)) * _tokens(experiment, run)
    moved = 3 * WEIGHT[run.precision] + 2 * moments(run, run.precision)  # weight, gradient, two moments; three written
    traffic = schedule.total * A * (moved + (COPIED if run.precision == "bf16-stochastic" else 0))
    arithmetic = flops / (TRAIN_SHARE * _peak(gpu, run.precision))
    launched = max(arithmetic, schedule.total * (3 + again) * depth * LAUNCH)
    return launched + traffic / (BANDWIDTH_SHARE * gpu.bandwidth) + _fila_seconds(experiment, run, gpu)


def _fila_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """The start of FILA's adapters: forward and backward over each forget row and as many retain rows, one at a time.

    Then the decomposition of each matrix: of seven a layer a Gram matrix of the model's width n, which all of a layer's 12 n^2 weights go
    into (24 n^3 FLOP), and its eigenvectors (9 n^3 each).
    """
    if run.lora_start != "fila":
        return 0.0
    P, depth = _model(experiment, run)
    width, _ = sizes.shape(run.model, experiment.models[run.model])
    rows = 2 * _rows(experiment, run)
    passes = 6 * P * rows * _tokens(experiment, run) / (TRAIN_SHARE * _peak(gpu, run.precision))
    return max(passes, rows * 3 * depth * LAUNCH) + (24 + 7 * 9) * width**3 * depth / DECOMPOSED


def reference_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """One forward pass over the forget split."""
    return _forward(experiment, run, _rows(experiment, run) * _tokens(experiment, run), gpu)


def candidates_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """One forward pass over every candidate answer with its prompt, or over the prompt alone where nothing else is asked."""
    taken = sum(rows * max(1, asked.candidates) * tokens for asked, rows, tokens in _scored(experiment, run))
    return _forward(experiment, run, taken, gpu)


def gradients_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Forward and backward over each member and non-member by itself, if the benchmark wants gradient norms."""
    if not experiment.gradient_norms(run.benchmark):
        return 0.0
    P, depth = _model(experiment, run)
    members = [(rows, tokens) for asked, rows, tokens in _scored(experiment, run) if asked.membership]
    arithmetic = 6 * P * sum(rows * tokens for rows, tokens in members)
    return max(
        arithmetic / (SCORE_SHARE * _peak(gpu, precision(experiment, run))),
        sum(rows for rows, _ in members) * 3 * depth * LAUNCH,
    )


def generation_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Greedy decoding: every step reads the weights; a batch goes to the longest generation, as one row that does not stop suffices.

    Sections with one limit are continued together.
    """
    P, depth = _model(experiment, run)
    usual = experiment.definition(run.benchmark).max_new_tokens
    asked_for: dict[int, list[tuple[int, float]]] = {}
    for asked, rows, tokens in _scored(experiment, run):
        if asked.generate:
            asked_for.setdefault(asked.max_new_tokens or usual, []).append((rows, tokens))
    at_once = experiment.needs(run.model).batch_tokens
    steps = sum(_batches(sections, longest, at_once) * longest for longest, sections in asked_for.items())
    reading = P * STORED[precision(experiment, run)] / (BANDWIDTH_SHARE * gpu.bandwidth)
    return steps * max(reading, depth * LAUNCH)


def score_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """All of what scoring a model takes."""
    kinds = (candidates_seconds, gradients_seconds, generation_seconds)
    return sum(seconds(experiment, run, gpu) for seconds in kinds)


def candidates(experiment: Experiment, run: Run) -> int:
    """Sequences that are scored."""
    return sum(rows * asked.candidates for asked, rows, _ in _scored(experiment, run))


def memory(
    experiment: Experiment,
    run: Run,
    *,
    precision: str | None = None,
    micro_batch: int | None = None,
    gradient_checkpointing: bool | None = None,
) -> float:
    """Bytes on the GPU while a run trains: state by precision, and activations of one pass, roughly.

    Args:
        precision: instead of the run's own.
        micro_batch: sequences in one pass, instead of what the model's needs say.
        gradient_checkpointing: the same.
    """
    needs = experiment.needs(run.model)
    width, depth = sizes.shape(run.model, experiment.models[run.model])
    precision = precision or run.precision
    micro_batch = micro_batch or needs.micro_batch
    again = needs.gradient_checkpointing if gradient_checkpointing is None else gradient_checkpointing
    sequences = min(micro_batch, run.batch_size * (2 if run.method.retains else 1))
    token = width * (2 if precision == "fp32" else 1) * PADDING * _tokens(experiment, run)
    kept = INPUT * depth + ACTIVATION if again else ACTIVATION * depth
    training = _state(experiment, run, precision) + sequences * token * kept
    if run.lora_start == "fila":  # its start is made of one sample at a time, and nothing of the optimiser is there yet
        start = _model(experiment, run)[0] * (FROZEN[precision] + FISHER) + token * ACTIVATION * depth
        training = max(training, start)
    return training + OVERHEAD


def trained(experiment: Experiment, run: Run) -> int:
    """Parameters that training changes: all, or a LoRA run's adapters."""
    model = experiment.models[run.model]
    return sizes.adapters(run.model, model, run.lora_rank) if run.lora_rank else sizes.parameters(run.model, model)


def of_state(run: Run) -> str:
    """What a run's state is counted as, in words."""
    if not run.lora_rank:
        return f"{of_trained(run, run.precision) + 4 * gradients(run, run.precision):.3g} bytes a parameter"
    more = f", {FISHER} more for FILA" if run.lora_start == "fila" else ""
    return f"{FROZEN[run.precision]} bytes a frozen parameter{more}, {of_trained(run, run.precision):.3g} an adapter's"


def _state(experiment: Experiment, run: Run, precision: str) -> float:
    P, A = _model(experiment, run)[0], trained(experiment, run)
    trains = of_trained(run, precision) + 4 * gradients(run, precision)
    return A * trains + (P * FROZEN[precision] if run.lora_rank else 0)


def of_trained(run: Run, precision: str) -> float:
    """Bytes of a trained parameter: weight, gradient and the optimiser's two moments."""
    return FROZEN[precision] + WEIGHT[precision] + moments(run, precision)


def moments(run: Run, precision: str) -> float:
    """Bytes of the optimiser's two moments of a parameter."""
    return 2 * (EIGHT_BIT if run.optimiser == "adamw-8bit" else MOMENT[precision])


def gradients(run: Run, precision: str) -> int:
    """Gradients in float32 that a step holds beside the parameters' own."""
    if run.combiner in (None, "sum"):
        return 0
    apart = {"update": 1, "penalty": 2, "multiplier": 0}[COMBINERS[run.combiner].kind]
    return apart + (WEIGHT[precision] < 4 and apart > 0)  # whose own .grad is no float32


def node_bytes(experiment: Experiment, run: Run) -> float:
    """Bytes of the node's memory while a run trains, roughly; on a GPU, what loading and resuming take, which read a whole file first."""
    if not experiment.needs(run.model).gpu:
        return memory(experiment, run) - OVERHEAD + PROCESS
    return max(_checkpoint(experiment, run), _model(experiment, run)[0] * WEIGHT[run.precision]) + PROCESS


def model_bytes(experiment: Experiment, run: Run) -> float:
    """A saved model."""
    return _model(experiment, run)[0] * STORED[precision(experiment, run)]


def running_bytes(experiment: Experiment, run: Run) -> float:
    """What a run has on disk at most: two checkpoints (the last one, and the next while it is written), then its model."""
    return max(2 * _checkpoint(experiment, run), model_bytes(experiment, run))


def evidence_bytes(experiment: Experiment, run: Run) -> float:
    """What scoring a model leaves."""
    return EVIDENCE * sum(rows * asked.candidates * tokens for asked, rows, tokens in _scored(experiment, run))


def _checkpoint(experiment: Experiment, run: Run) -> float:
    """One of a LoRA run has its adapters alone; with FILA also as they were at the start."""
    started = WEIGHT[run.precision] if run.lora_start == "fila" else 0
    return trained(experiment, run) * (WEIGHT[run.precision] + moments(run, run.precision) + started)


def _model(experiment: Experiment, run: Run) -> tuple[int, int]:
    model = experiment.models[run.model]
    return sizes.parameters(run.model, model), sizes.shape(run.model, model)[1]


def _rows(experiment: Experiment, run: Run) -> int:
    return sizes.rows_of(run.benchmark, experiment.definition(run.benchmark), run.split)


def _tokens(experiment: Experiment, run: Run) -> float:
    """Of the split that is trained on; a retain split's rows are taken to be as long."""
    return sizes.tokens_per_row(run.benchmark, experiment.definition(run.benchmark), run.split)


def _scored(experiment: Experiment, run: Run) -> list[tuple[Section, int, float]]:
    return list(sizes.scored(run.benchmark, experiment.definition(run.benchmark), run.split).values())


def _batches(sections: list[tuple[int, float]], longest: int, at_once: int) -> int:
    """Batches that rows of these sections are continued in, `at_once` padded tokens in each; each section: rows, mean tokens."""
    rows = sum(count for count, _ in sections)
    mean = sum(count * tokens for count, tokens in sections) / rows
    return math.ceil(rows / min(SEQUENCES, max(1, int(at_once / (mean + longest)))))


def _peak(gpu: GPU, precision: str) -> float:
    return gpu.fp32 if precision == "fp32" else gpu.bf16


def _forward(experiment: Experiment, run: Run, tokens: float, gpu: GPU) -> float:
    P, depth = _model(experiment, run)
    arithmetic = 2 * P * tokens / (SCORE_SHARE * _peak(gpu, precision(experiment, run)))
    return max(arithmetic, math.ceil(tokens / experiment.needs(run.model).batch_tokens) * depth * LAUNCH)
