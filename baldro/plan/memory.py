"""What a run holds in the memory of each of its GPUs, by what takes it; and in the memory of the node.

Estimates from counts, with the bytes of `baldro.plan.amounts` a parameter. A model that is split over several GPUs (FSDP2) has a share of
weights, gradients and moments on each; the weights of the block that is computed, and of the next, are gathered.
"""

from dataclasses import dataclass

from baldro.plan import amounts, sizes
from baldro.runs import Experiment, Run

ACTIVATION = 34
"""Bytes per token, layer and unit of width kept for the backward pass in 16 bits (Korthikanti et al. 2022, without attention scores)."""
INPUT = 2
"""The same with gradient checkpointing: a layer's input; other activations are kept for one layer at a time."""
PADDING = 1.5
"""Assumed ratio of padded to real tokens in a batch of mixed lengths."""
NF4 = 0.516
"""Bytes per frozen parameter in 4 bits: half a byte, an 8-bit scale for 64 of them, a float32 for 256 scales (Dettmers et al. 2023)."""
NOT_QUANTISED = 0.1
"""Assumed share of parameters that are no linear layer's: embeddings and output head (Llama-2-7B 4 %, Llama-3.1-8B 13 %)."""
GATHERED = 3
"""Blocks whose weights are whole on every one of several GPUs: the one that is computed, the next, and what belongs to no block."""
CONTEXT = 1e9
"""Assumed bytes of the GPU's context."""
LOGITS = 1e9
"""Assumed bytes of the logits in memory at a time: 2^26 numbers, in 16 bits, in float32 and as gradients."""
FISHER = 4
"""Bytes per frozen parameter more, while FILA's start is made: its Fisher information (gradients are dropped one by one)."""
PROCESS = 2.5e9
"""Assumed bytes of the node that a job takes without weights: Snakemake 0.2e9, torch and transformers 0.5e9 (measured), a GPU's context."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on each GPU of a run."""

    weights: float
    """What is trained and what is frozen, with the copy that bf16 computes with."""
    gradients: float
    moments: float
    """The optimiser's two moments."""
    activations: float
    """Of one pass, kept for the backward pass."""
    start: float
    """All that is there while FILA's start is made, one sample at a time and before the optimiser has anything; 0 of other runs."""
    stored: float
    """Weights in scoring."""
    cache: float
    """Keys and values of the texts that are continued at a time; fewer where heads share them."""

    @property
    def training(self) -> float:
        """Most that training takes."""
        state = self.weights + self.gradients + self.moments + self.activations
        return max(state, self.start) + LOGITS + CONTEXT

    @property
    def scoring(self) -> float:
        """Most that scoring takes."""
        return self.stored + self.cache + LOGITS + CONTEXT

    @property
    def most(self) -> float:
        """Most of all, as one job trains and scores."""
        return max(self.training, self.scoring)


def of(experiment: Experiment, run: Run) -> Memory:
    """What each GPU holds while a run trains, and while its model is scored."""
    needs, model = experiment.needs(run.model), experiment.models[run.model]
    P, (width, depth) = sizes.parameters(run.model, model), sizes.shape(run.model, model)
    layers = amounts.kept_layers(experiment, run)
    wide = 2 if run.precision == "fp32" else 1
    token = width * wide * PADDING * amounts.row_tokens(experiment, run)
    batch = -(-run.batch_size * (2 if run.method.retains else 1) // amounts.cards(experiment, run))
    kept = INPUT * layers + ACTIVATION if needs.gradient_checkpointing else ACTIVATION * layers
    split, among = amounts.split(experiment, run), amounts.cards(experiment, run)
    weights, gradients, moments = (_split if split else _whole)(experiment, run)
    start = (
        P * (amounts.FROZEN[run.precision] + FISHER) + token * ACTIVATION * depth if run.lora_start == "fila" else 0.0
    )
    return Memory(
        weights=weights,
        gradients=gradients,
        moments=moments,
        activations=min(needs.micro_batch, batch) * token * kept,
        start=start,
        stored=amounts.STORED[amounts.precision(experiment, run)] * (P / among + GATHERED * P / depth if split else P),
        cache=needs.batch_tokens * 2 * depth * width * 2 * wide,
    )


def _whole(experiment: Experiment, run: Run) -> tuple[float, float, float]:
    """Bytes of weights, gradients and moments."""
    P, A = sizes.parameters(run.model, experiment.models[run.model]), amounts.trained(experiment, run)
    frozen = amounts.FROZEN[run.precision]
    beside = NOT_QUANTISED * frozen + (1 - NOT_QUANTISED) * NF4 if run.lora_base == "nf4" else frozen
    weights = A * frozen + P * beside if run.lora_rank else P * frozen
    return weights, A * (amounts.WEIGHT[run.precision] + 4 * amounts.gradients(run)), A * amounts.moments(run)


def _split(experiment: Experiment, run: Run) -> tuple[float, float, float]:
    """The same of a model that is split over several GPUs, on each of them.

    The copy that bf16 computes with is of each gathered block; it stays until the backward pass has used it, unless that computes again.
    """
    P, depth = (
        sizes.parameters(run.model, experiment.models[run.model]),
        sizes.shape(run.model, experiment.models[run.model])[1],
    )
    A, among, weight = amounts.trained(experiment, run), amounts.cards(experiment, run), amounts.WEIGHT[run.precision]
    copied = (amounts.FROZEN[run.precision] - weight) * (
        1 if experiment.needs(run.model).gradient_checkpointing else depth
    )
    weights = (A * bool(run.lora_rank) + P) * weight / among + (GATHERED * weight + copied) * P / depth
    _, gradients, moments = _whole(experiment, run)
    return weights, gradients / among + A / depth * (weight + 4), moments / among


def node_bytes(experiment: Experiment, run: Run) -> float:
    """Bytes of the node's memory while a run trains, roughly; on GPUs, what loading and resuming take, which read a whole file first.

    A training on several GPUs has a process for each, and each of them reads. Of a model that is split they share the checkpoint's pages,
    and one of them holds it whole while it is written.
    """
    if not experiment.needs(run.model).gpu:
        return of(experiment, run).training - CONTEXT - LOGITS + PROCESS
    loaded = sizes.parameters(run.model, experiment.models[run.model]) * amounts.WEIGHT[run.precision]
    cards, kept = experiment.needs(run.model).gpu, amounts.checkpoint_bytes(experiment, run)
    return max(cards * loaded, kept if experiment.needs(run.model).shard else cards * kept) + cards * PROCESS
