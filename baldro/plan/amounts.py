"""What a run trains, and the bytes of it: of weights, gradients, moments, and of files. Counts; what is assumed is a constant here."""

from baldro.benchmarks import Section
from baldro.plan import sizes
from baldro.runs import COMBINERS, Experiment, Run
from baldro.training import pieces

FROZEN = {"fp32": 4, "bf16": 6, "bf16-only": 2, "bf16-stochastic": 2}
"""Bytes per parameter that is not trained (LoRA): its weight; bf16 also keeps a copy to compute with."""
STORED = {"fp32": 4, "bf16": 2, "bf16-only": 2, "bf16-stochastic": 2}
"""Bytes per parameter of a saved model."""
WEIGHT = {"fp32": 4, "bf16": 4, "bf16-only": 2, "bf16-stochastic": 2}
"""Bytes per weight in training, and per gradient."""
MOMENT = {"fp32": 4, "bf16": 4, "bf16-only": 2, "bf16-stochastic": 4}
"""Bytes of each of AdamW's two moments, per trained parameter: of the weight's type, or of the float32 update's."""
EIGHT_BIT = 1 + 4 / 256
"""The same of adamw-8bit in every precision: a byte, and a float32 scale for each block of 256. Below 4,096 weights they are float32."""
EVIDENCE = 12
"""Bytes of evidence per token of a candidate with its question, compressed (measured: 17 per answer token, two thirds of the tokens)."""


def precision(experiment: Experiment, run: Run) -> str:
    """What a run computes in; a model that is only scored, in what it is stored in (published ones: bf16)."""
    if run.facts.trains:
        return run.precision
    start = experiment.start(run)
    return start.precision if start else "bf16"


def cards(experiment: Experiment, run: Run) -> int:
    """GPUs that a job of the run uses."""
    return experiment.needs(run.model).devices


def split(experiment: Experiment, run: Run) -> bool:
    """Whether its model is split over them; otherwise each has a whole copy."""
    return cards(experiment, run) > 1 and experiment.needs(run.model).shard


def trained(experiment: Experiment, run: Run) -> int:
    """Parameters that training changes: all, a LoRA run's adapters, or the matrices of released RMU."""
    model = experiment.models[run.model]
    if run.lora_rank:
        return sizes.adapters(run.model, model, run.lora_rank)
    if run.rmu_weights == "down-proj":
        _, depth = size(experiment, run)
        return sizes.output_matrices(run.model, model, len(pieces.trained_layers(run, depth)))
    return sizes.parameters(run.model, model)


def kept_layers(experiment: Experiment, run: Run) -> int:
    """Layers whose activations wait for a backward pass: the first that is trained, and all above it."""
    _, depth = size(experiment, run)
    return depth - pieces.trained_layers(run, depth).start


def passed_back(experiment: Experiment, run: Run) -> float:
    """Share of the layers that a backward pass goes through: not those below the first that is trained, nor those behind RMU's losses."""
    _, depth = size(experiment, run)
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
    return size(experiment, run)[0] * STORED[precision(experiment, run)]


def running_bytes(experiment: Experiment, run: Run) -> float:
    """What a run has on disk at most: two checkpoints (the last one, and the next while it is written), then its model."""
    return max(2 * checkpoint_bytes(experiment, run), model_bytes(experiment, run))


def checkpoint_bytes(experiment: Experiment, run: Run) -> float:
    """One of a LoRA run has its adapters alone, with FILA also as they were at the start; any other has all weights."""
    A, weight = trained(experiment, run), WEIGHT[run.precision]
    stored = A * (2 if run.lora_start == "fila" else 1) if run.lora_rank else size(experiment, run)[0]
    return stored * weight + A * moments(run)


def evidence_bytes(experiment: Experiment, run: Run) -> float:
    """What scoring a model leaves."""
    return EVIDENCE * sum(rows * asked.candidates * tokens for asked, rows, tokens in scored(experiment, run))


def size(experiment: Experiment, run: Run) -> tuple[int, int]:
    """Parameters and layers of its model."""
    model = experiment.models[run.model]
    return sizes.parameters(run.model, model), sizes.shape(run.model, model)[1]


def rows(experiment: Experiment, run: Run) -> int:
    """Of the split that is trained on."""
    return sizes.rows_of(run.benchmark, experiment.definition(run.benchmark), run.split)


def row_tokens(experiment: Experiment, run: Run) -> float:
    """Of the split that is trained on; a retain split's rows are taken to be as long."""
    return sizes.tokens_per_row(run.benchmark, experiment.definition(run.benchmark), run.split)


def scored(experiment: Experiment, run: Run) -> list[tuple[Section, int, float]]:
    """Sections with their rows, and a row's mean tokens."""
    return list(sizes.scored(run.benchmark, experiment.definition(run.benchmark), run.split).values())
