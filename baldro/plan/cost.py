"""What a run costs: seconds on its GPUs. Estimates from counts; every assumption is a constant of this file."""

import math

from baldro.plan import amounts, passes, sizes
from baldro.plan.gpus import GPU
from baldro.prompts.limits import SEQUENCES
from baldro.runs import Experiment, Run
from baldro.training.schedule import Schedule

TRAIN_SHARE, SCORE_SHARE, BANDWIDTH_SHARE = 0.4, 0.3, 0.6
"""Assumed shares of the peak: arithmetic in training and in scoring, memory traffic in decoding and in the optimiser."""
LINK_SHARE = 0.6
"""Assumed share of the peak of what GPUs send each other."""
NETWORK = 25e9
"""Assumed bytes a second between nodes (200 Gbit/s)."""
LAUNCH = 1e-3
"""Assumed seconds that a layer's kernels take to be launched in a pass, at least: what bounds small models, small passes and decoding
(measured: 0.9 to 1.3 ms on a virtual machine with an H200, benchmarks/results)."""
ADAPTERS = 1.6
"""Assumed ratio of a pass with adapters to one with as much arithmetic and none: small products, casts and sums beside each matrix
(measured there on Llama-2-7B, rank 32)."""
UNPACKED = 0.5 + 2
"""Bytes per parameter of a 4-bit base that are read, and written in 16 bits, before each product."""
DECOMPOSED = 5e11
"""Assumed FLOP/s of a decomposition in fp64, which is far from the peak of any GPU."""
COPIED = 120
"""Bytes per parameter that bf16-stochastic reads and writes beside: float32 copies of weight and gradient, what is drawn, and what is made
of them on the way (measured there, by its time)."""


def train_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """6 FLOP per parameter and token forward and backward, and what the optimiser reads and writes; on several GPUs, each its share.

    A frozen parameter takes 4 (it has no gradient of its own), and 2 in a layer that no backward pass goes through; one that gradient
    checkpointing computes again 2 more. What several GPUs send each other is sent while they compute.
    """
    P, depth = amounts.size(experiment, run)
    A, among = amounts.trained(experiment, run), amounts.cards(experiment, run)
    again = int(experiment.needs(run.model).gradient_checkpointing)
    rows, at_once = amounts.rows(experiment, run), experiment.needs(run.model).micro_batch
    schedule = Schedule.of(run, rows)
    backward = amounts.passed_back(experiment, run) * (1 + again) + (0 if run.lora_rank else A / P)
    work = P * passes.per_row(run, 1 + backward, at_once)
    work += A * passes.per_row(run, 3 + again, at_once) if run.lora_rank else 0  # adapters are beside the parameters
    flops = 2 * (work * schedule.drawn + P * passes.rows_once(run, rows)) * amounts.row_tokens(experiment, run)
    arithmetic = flops / (TRAIN_SHARE * _peak(gpu, run.precision)) / among * (ADAPTERS if run.lora_rank else 1)
    forward, both = _step_passes(experiment, run)
    sent = schedule.total * _sent(experiment, run) / _link(experiment, run, gpu)
    launched = max(arithmetic, sent, schedule.total * (forward + (3 + again) * both) * depth * LAUNCH)
    traffic = schedule.total * (
        _updated(run) * A / (among if amounts.split(experiment, run) else 1) + _unpacked(experiment, run)
    )
    return launched + traffic / (BANDWIDTH_SHARE * gpu.bandwidth) + _fila_seconds(experiment, run, gpu)


def _updated(run: Run) -> float:
    """Bytes that the optimiser reads and writes of a parameter: weight, gradient and two moments; three of them written."""
    copied = COPIED if run.precision == "bf16-stochastic" else 0
    return 3 * amounts.WEIGHT[run.precision] + 2 * amounts.moments(run) + copied


def _sent(experiment: Experiment, run: Run) -> float:
    """Bytes that each of several GPUs receives in a step.

    Of a model that is split, all weights for each pass forward and each backward, and each backward pass's gradients; of whole copies, the
    step's gradients, to be summed and then to be known.
    """
    among, A = amounts.cards(experiment, run), amounts.trained(experiment, run)
    if among == 1:
        return 0.0
    whole = 2 * A * amounts.WEIGHT[run.precision]
    if amounts.split(experiment, run):
        forward, both = _step_passes(experiment, run)
        whole = amounts.size(experiment, run)[0] * amounts.WEIGHT[run.precision] * (forward + 2 * both) + 4 * A * both
    return whole * (among - 1) / among


def _step_passes(experiment: Experiment, run: Run) -> tuple[int, int]:
    """Passes of a step, one after the other: forward ones alone, and forward and backward ones."""
    at_once = experiment.needs(run.model).micro_batch * amounts.cards(experiment, run)
    halves = [half(run, micro_batch=at_once) for half in (passes.of_forget, passes.of_retain)]
    forward = sum(half.forward for half in halves)
    both = sum(half.trained + passes.HESSIAN_COST * half.hessian for half in halves)
    return math.ceil(run.batch_size * forward / at_once), math.ceil(run.batch_size * both / at_once)


def _unpacked(experiment: Experiment, run: Run) -> float:
    """Bytes of its memory that a GPU reads and writes in a step to have a 4-bit base in 16 bits for each pass."""
    if run.lora_base != "nf4":
        return 0.0
    forward, both = _step_passes(experiment, run)
    again = int(experiment.needs(run.model).gradient_checkpointing)
    return amounts.size(experiment, run)[0] * UNPACKED * (forward + (2 + again) * both)


def _fila_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """The start of FILA's adapters: forward and backward over each forget row and as many retain rows, one at a time.

    Then the decomposition of each matrix: of seven a layer a Gram matrix of the model's width n, which all of a layer's 12 n^2 weights go
    into (24 n^3 FLOP), and its eigenvectors (9 n^3 each).
    """
    if run.lora_start != "fila":
        return 0.0
    P, depth = amounts.size(experiment, run)
    width, _ = sizes.shape(run.model, experiment.models[run.model])
    rows = 2 * amounts.rows(experiment, run)
    passes = 6 * P * rows * amounts.row_tokens(experiment, run) / (TRAIN_SHARE * _peak(gpu, run.precision))
    return max(passes, rows * 3 * depth * LAUNCH) + (24 + 7 * 9) * width**3 * depth / DECOMPOSED


def reference_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """One forward pass over the forget split."""
    return _forward(experiment, run, amounts.rows(experiment, run) * amounts.row_tokens(experiment, run), gpu)


def candidates_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """One forward pass over every candidate answer with its prompt, or over the prompt alone where nothing else is asked.

    On several GPUs each takes its share of the rows, as of all that is scored.
    """
    taken = sum(rows * max(1, asked.candidates) * tokens for asked, rows, tokens in amounts.scored(experiment, run))
    return _forward(experiment, run, taken, gpu)


def gradients_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Forward and backward over each member and non-member by itself, if the benchmark wants gradient norms.

    GPUs that a model is split over take each of them together.
    """
    if not experiment.gradient_norms(run.benchmark):
        return 0.0
    P, depth = amounts.size(experiment, run)
    members = [(rows, tokens) for asked, rows, tokens in amounts.scored(experiment, run) if asked.membership]
    arithmetic = 6 * P * sum(rows * tokens for rows, tokens in members)
    samples = sum(rows for rows, _ in members)
    seconds = max(
        arithmetic / (SCORE_SHARE * _peak(gpu, amounts.precision(experiment, run))),
        samples * (2 * _gathered(experiment, run, gpu) + 4 * _share_sent(experiment, run, gpu)),
        samples * 3 * depth * LAUNCH,
    )
    return seconds / (1 if amounts.split(experiment, run) else amounts.cards(experiment, run))


def generation_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Greedy decoding, at most: every step reads the weights, for one token a row, and all rows go to the longest generation.

    Drafts that are right, and rows that stop early and make room for others, take less.

    Sections with one limit are continued together.
    """
    P, depth = amounts.size(experiment, run)
    usual = experiment.definition(run.benchmark).max_new_tokens
    asked_for: dict[int, list[tuple[int, float]]] = {}
    for asked, rows, tokens in amounts.scored(experiment, run):
        if asked.generate:
            share = math.ceil(rows / amounts.cards(experiment, run))
            asked_for.setdefault(asked.max_new_tokens or usual, []).append((share, tokens))
    at_once = experiment.needs(run.model).batch_tokens
    steps = sum(_batches(sections, longest, at_once) * longest for longest, sections in asked_for.items())
    reading = P * amounts.STORED[amounts.precision(experiment, run)] / (BANDWIDTH_SHARE * gpu.bandwidth)
    return steps * max(reading, _gathered(experiment, run, gpu), depth * LAUNCH)


def score_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """All of what scoring a model takes."""
    kinds = (candidates_seconds, gradients_seconds, generation_seconds)
    return sum(seconds(experiment, run, gpu) for seconds in kinds)


def candidates(experiment: Experiment, run: Run) -> int:
    """Sequences that are scored."""
    return sum(rows * asked.candidates for asked, rows, _ in amounts.scored(experiment, run))


def _batches(sections: list[tuple[int, float]], longest: int, at_once: int) -> int:
    """Batches that rows of these sections are continued in, `at_once` padded tokens in each; each section: rows, mean tokens."""
    rows = sum(count for count, _ in sections)
    mean = sum(count * tokens for count, tokens in sections) / rows
    return math.ceil(rows / min(SEQUENCES, max(1, int(at_once / (mean + longest)))))


def _peak(gpu: GPU, precision: str) -> float:
    return gpu.fp32 if precision == "fp32" else gpu.bf16


def _forward(experiment: Experiment, run: Run, tokens: float, gpu: GPU) -> float:
    """Of so many tokens on all GPUs."""
    P, depth = amounts.size(experiment, run)
    own = tokens / amounts.cards(experiment, run)
    arithmetic = 2 * P * own / (SCORE_SHARE * _peak(gpu, amounts.precision(experiment, run)))
    passes = math.ceil(own / experiment.needs(run.model).batch_tokens)
    return max(arithmetic, passes * _gathered(experiment, run, gpu), passes * depth * LAUNCH)


def _gathered(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Seconds that a pass of scoring takes to gather the weights of a model that is split."""
    return amounts.STORED[amounts.precision(experiment, run)] * _share_sent(experiment, run, gpu)


def _share_sent(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Seconds in which GPUs that a model is split over send each other a byte of every parameter."""
    if not amounts.split(experiment, run):
        return 0.0
    among = amounts.cards(experiment, run)
    return amounts.size(experiment, run)[0] * (among - 1) / among / _link(experiment, run, gpu)


def _link(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Bytes a second that each GPU of a job receives; a ring of them passes once through each node's network."""
    return LINK_SHARE * (gpu.link if experiment.needs(run.model).nodes == 1 else min(gpu.link, NETWORK))
