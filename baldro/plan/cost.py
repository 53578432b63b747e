"""What a run costs: seconds on its GPUs, and disk. Estimates from counts; every assumption is a constant of this file."""

import math

from baldro.benchmarks import Section
from baldro.plan import passes, sizes
from baldro.plan.gpus import GPU
from baldro.prompts.limits import SEQUENCES
from baldro.runs import COMBINERS, Experiment, Run
from baldro.training import pieces
from baldro.training.schedule import Schedule

TRAIN_SHARE, SCORE_SHARE, BANDWIDTH_SHARE = 0.4, 0.3, 0.6
"""Assumed shares of the peak: arithmetic in training and in scoring, memory traffic in decoding and in the optimiser."""
LINK_SHARE = 0.6
"""Assumed share of the peak of what GPUs send each other."""
NETWORK = 25e9
"""Assumed bytes a second between nodes (200 Gbit/s)."""
LAUNCH = 6e-4
"""Assumed seconds that a layer's kernels take to be launched, at least: what bounds small models and decoding."""
FROZEN = {"fp32": 4, "bf16": 6, "bf16-only": 2, "bf16-stochastic": 2}
"""Bytes per parameter that is not trained (LoRA): its weight; bf16 also keeps a copy to compute with."""
UNPACKED = 0.5 + 2
"""Bytes per parameter of a 4-bit base that are read, and written in 16 bits, before each product."""
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
EVIDENCE = 12
"""Bytes of evidence per token of a candidate with its question, compressed (measured: 17 per answer token, two thirds of the tokens)."""


def precision(experiment: Experiment, run: Run) -> str:
    """What a run computes in; a model that is only scored, in what it is stored in (published ones: bf16)."""
    if run.facts.trains:
        return run.precision
    start = experiment.start(run)
    return start.precision if start else "bf16"


def train_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """6 FLOP per parameter and token forward and backward, and what the optimiser reads and writes; on several GPUs, each its share.

    A frozen parameter takes 4 (it has no gradient of its own), and 2 in a layer that no backward pass goes through; one that gradient
    checkpointing computes again 2 more. What several GPUs send each other is sent while they compute.
    """
    P, depth = _model(experiment, run)
    A, among = trained(experiment, run), cards(experiment, run)
    again = int(experiment.needs(run.model).gradient_checkpointing)
    rows, at_once = _rows(experiment, run), experiment.needs(run.model).micro_batch
    schedule = Schedule.of(run, rows)
    backward = passed_back(experiment, run) * (1 + again) + (0 if run.lora_rank else A / P)
    work = P * passes.per_row(run, 1 + backward, at_once)
    work += A * passes.per_row(run, 3 + again, at_once) if run.lora_rank else 0  # adapters are beside the parameters
    flops = 2 * (work * schedule.drawn + P * passes.rows_once(run, rows)) * row_tokens(experiment, run)
    arithmetic = flops / (TRAIN_SHARE * _peak(gpu, run.precision)) / among
    sent = schedule.total * _sent(experiment, run) / _link(experiment, run, gpu)
    launched = max(arithmetic, sent, schedule.total * (3 + again) * depth * LAUNCH)
    traffic = schedule.total * (
        _updated(run) * A / (among if split(experiment, run) else 1) + _unpacked(experiment, run)
    )
    return launched + traffic / (BANDWIDTH_SHARE * gpu.bandwidth) + _fila_seconds(experiment, run, gpu)


def _updated(run: Run) -> float:
    """Bytes that the optimiser reads and writes of a parameter: weight, gradient and two moments; three of them written."""
    return 3 * WEIGHT[run.precision] + 2 * moments(run) + (COPIED if run.precision == "bf16-stochastic" else 0)


def _sent(experiment: Experiment, run: Run) -> float:
    """Bytes that each of several GPUs receives in a step.

    Of a model that is split, all weights for each pass forward and each backward, and each backward pass's gradients; of whole copies, the
    step's gradients, to be summed and then to be known.
    """
    among, A = cards(experiment, run), trained(experiment, run)
    if among == 1:
        return 0.0
    whole = 2 * A * WEIGHT[run.precision]
    if split(experiment, run):
        forward, both = _step_passes(experiment, run)
        whole = _model(experiment, run)[0] * WEIGHT[run.precision] * (forward + 2 * both) + 4 * A * both
    return whole * (among - 1) / among


def _step_passes(experiment: Experiment, run: Run) -> tuple[int, int]:
    """Passes of a step, one after the other: forward ones alone, and forward and backward ones."""
    at_once = experiment.needs(run.model).micro_batch * cards(experiment, run)
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
    return _model(experiment, run)[0] * UNPACKED * (forward + (2 + again) * both)


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
    passes = 6 * P * rows * row_tokens(experiment, run) / (TRAIN_SHARE * _peak(gpu, run.precision))
    return max(passes, rows * 3 * depth * LAUNCH) + (24 + 7 * 9) * width**3 * depth / DECOMPOSED


def reference_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """One forward pass over the forget split."""
    return _forward(experiment, run, _rows(experiment, run) * row_tokens(experiment, run), gpu)


def candidates_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """One forward pass over every candidate answer with its prompt, or over the prompt alone where nothing else is asked.

    On several GPUs each takes its share of the rows, as of all that is scored.
    """
    taken = sum(rows * max(1, asked.candidates) * tokens for asked, rows, tokens in _scored(experiment, run))
    return _forward(experiment, run, taken, gpu)


def gradients_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Forward and backward over each member and non-member by itself, if the benchmark wants gradient norms.

    GPUs that a model is split over take each of them together.
    """
    if not experiment.gradient_norms(run.benchmark):
        return 0.0
    P, depth = _model(experiment, run)
    members = [(rows, tokens) for asked, rows, tokens in _scored(experiment, run) if asked.membership]
    arithmetic = 6 * P * sum(rows * tokens for rows, tokens in members)
    samples = sum(rows for rows, _ in members)
    seconds = max(
        arithmetic / (SCORE_SHARE * _peak(gpu, precision(experiment, run))),
        samples * (2 * _gathered(experiment, run, gpu) + 4 * _share_sent(experiment, run, gpu)),
        samples * 3 * depth * LAUNCH,
    )
    return seconds / (1 if split(experiment, run) else cards(experiment, run))


def generation_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Greedy decoding, at most: every step reads the weights, for one token a row, and all rows go to the longest generation.

    Drafts that are right, and rows that stop early and make room for others, take less.

    Sections with one limit are continued together.
    """
    P, depth = _model(experiment, run)
    usual = experiment.definition(run.benchmark).max_new_tokens
    asked_for: dict[int, list[tuple[int, float]]] = {}
    for asked, rows, tokens in _scored(experiment, run):
        if asked.generate:
            share = math.ceil(rows / cards(experiment, run))
            asked_for.setdefault(asked.max_new_tokens or usual, []).append((share, tokens))
    at_once = experiment.needs(run.model).batch_tokens
    steps = sum(_batches(sections, longest, at_once) * longest for longest, sections in asked_for.items())
    reading = P * STORED[precision(experiment, run)] / (BANDWIDTH_SHARE * gpu.bandwidth)
    return steps * max(reading, _gathered(experiment, run, gpu), depth * LAUNCH)


def score_seconds(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """All of what scoring a model takes."""
    kinds = (candidates_seconds, gradients_seconds, generation_seconds)
    return sum(seconds(experiment, run, gpu) for seconds in kinds)


def candidates(experiment: Experiment, run: Run) -> int:
    """Sequences that are scored."""
    return sum(rows * asked.candidates for asked, rows, _ in _scored(experiment, run))


def trained(experiment: Experiment, run: Run) -> int:
    """Parameters that training changes: all, a LoRA run's adapters, or the matrices of released RMU."""
    model = experiment.models[run.model]
    if run.lora_rank:
        return sizes.adapters(run.model, model, run.lora_rank)
    if run.rmu_weights == "down-proj":
        _, depth = _model(experiment, run)
        return sizes.output_matrices(run.model, model, len(pieces.trained_layers(run, depth)))
    return sizes.parameters(run.model, model)


def kept_layers(experiment: Experiment, run: Run) -> int:
    """Layers whose activations wait for a backward pass: the first that is trained, and all above it."""
    _, depth = _model(experiment, run)
    return depth - pieces.trained_layers(run, depth).start


def passed_back(experiment: Experiment, run: Run) -> float:
    """Share of the layers that a backward pass goes through: not those below the first that is trained, nor those behind RMU's losses."""
    _, depth = _model(experiment, run)
    behind = depth - run.rmu_layer - 1 if run.rmu_weights == "down-proj" and run.retain_loss == "activations" else 0
    return (kept_layers(experiment, run) - behind) / depth


def moments(run: Run) -> float:
    """Bytes of the optimiser's two moments of a parameter."""
    return 2 * (EIGHT_BIT if run.optimiser == "adamw-8bit" else MOMENT[run.precision])


def gradients(run: Run) -> int:
    """Gradients in float32 that a step holds beside the parameters' own."""
    if run.combiner in (None, "sum"):
        return 0
    apart = {"update": 1, "penalty": 2, "multiplier": 0}[COMBINERS[run.combiner].kind]
    return apart + (WEIGHT[run.precision] < 4 and apart > 0)  # whose own .grad is no float32


def model_bytes(experiment: Experiment, run: Run) -> float:
    """A saved model."""
    return _model(experiment, run)[0] * STORED[precision(experiment, run)]


def running_bytes(experiment: Experiment, run: Run) -> float:
    """What a run has on disk at most: two checkpoints (the last one, and the next while it is written), then its model."""
    return max(2 * checkpoint_bytes(experiment, run), model_bytes(experiment, run))


def evidence_bytes(experiment: Experiment, run: Run) -> float:
    """What scoring a model leaves."""
    return EVIDENCE * sum(rows * asked.candidates * tokens for asked, rows, tokens in _scored(experiment, run))


def checkpoint_bytes(experiment: Experiment, run: Run) -> float:
    """One of a LoRA run has its adapters alone, with FILA also as they were at the start; any other has all weights."""
    A, weight = trained(experiment, run), WEIGHT[run.precision]
    stored = A * (2 if run.lora_start == "fila" else 1) if run.lora_rank else _model(experiment, run)[0]
    return stored * weight + A * moments(run)


def _model(experiment: Experiment, run: Run) -> tuple[int, int]:
    model = experiment.models[run.model]
    return sizes.parameters(run.model, model), sizes.shape(run.model, model)[1]


def _rows(experiment: Experiment, run: Run) -> int:
    return sizes.rows_of(run.benchmark, experiment.definition(run.benchmark), run.split)


def cards(experiment: Experiment, run: Run) -> int:
    """GPUs that a job of the run uses."""
    return experiment.needs(run.model).devices


def split(experiment: Experiment, run: Run) -> bool:
    """Whether its model is split over them; otherwise each has a whole copy."""
    return cards(experiment, run) > 1 and experiment.needs(run.model).shard


def row_tokens(experiment: Experiment, run: Run) -> float:
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
    """Of so many tokens on all GPUs."""
    P, depth = _model(experiment, run)
    own = tokens / cards(experiment, run)
    arithmetic = 2 * P * own / (SCORE_SHARE * _peak(gpu, precision(experiment, run)))
    passes = math.ceil(own / experiment.needs(run.model).batch_tokens)
    return max(arithmetic, passes * _gathered(experiment, run, gpu), passes * depth * LAUNCH)


def _gathered(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Seconds that a pass of scoring takes to gather the weights of a model that is split."""
    return STORED[precision(experiment, run)] * _share_sent(experiment, run, gpu)


def _share_sent(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Seconds in which GPUs that a model is split over send each other a byte of every parameter."""
    if not split(experiment, run):
        return 0.0
    among = cards(experiment, run)
    return _model(experiment, run)[0] * (among - 1) / among / _link(experiment, run, gpu)


def _link(experiment: Experiment, run: Run, gpu: GPU) -> float:
    """Bytes a second that each GPU of a job receives; a ring of them passes once through each node's network."""
    return LINK_SHARE * (gpu.link if experiment.needs(run.model).nodes == 1 else min(gpu.link, NETWORK))
