"""Values of one run that are each allowed and do not go together."""

from collections.abc import Mapping
from typing import Any

from baldro.errors import BaldroError
from baldro.methods.catalogue import COMBINERS, NO_OBJECTIVE, OBJECTIVES


def check_together(objective: str, settled: Mapping[str, Any]) -> None:
    """Values that are each allowed and do not go together."""
    method = OBJECTIVES.get(objective, NO_OBJECTIVE)
    if settled.get("dv_level") == "token" and not method.tokens:
        able = ", ".join(name for name, other in OBJECTIVES.items() if other.tokens)
        raise BaldroError("no-loss-per-token", f"dv_level token: {objective} has no loss per token; allowed: {able}")
    combiner = COMBINERS.get(settled.get("combiner"))
    if settled.get("dv_level") == "token" and combiner and combiner.kind == "penalty":
        able = ", ".join(name for name, other in COMBINERS.items() if other.kind != "penalty")
        raise BaldroError(
            "weights-of-tokens",
            f"combiner {settled['combiner']}: tokens have weights of their own (dv_level token); allowed: dv_level sample, or {able}",
        )
    if combiner and settled.get("dual_warmup_epochs", 0) >= settled["epochs"]:
        fault = f"dual_warmup_epochs reaches epochs ({settled['epochs']:g}), so the retain weight never moves"
        raise BaldroError("warmup-too-long", f"{fault}; allowed: below epochs")
    if settled.get("retain_loss") == "activations" and "activations" not in method.needs:
        able = ", ".join(name for name, other in OBJECTIVES.items() if "activations" in other.needs)
        raise BaldroError("no-activations", f"retain_loss activations: {objective} names no layer; allowed: {able}")
    if settled.get("retain_variant", "base") != "base" and settled["retain_normalisation"] == "token-mean":
        raise BaldroError(
            "no-loss-per-sample",
            f"retain_variant {settled['retain_variant']}: a sample has no loss of its own in a token-mean; allowed: sample-mean, token-sum",
        )
    if settled.get("rmu_positions") == "padded":
        _check_padded(settled)
    if settled.get("rmu_weights") == "down-proj" and settled.get("lora_rank") is not None:
        raise BaldroError(
            "adapters-and-weights", "rmu_weights down-proj: lora_rank trains adapters instead; allowed: one of the two"
        )
    if settled.get("lora_start") == "fila" and not method.retains:
        raise BaldroError(
            "nothing-retained", f"lora_start fila: {objective} has no retain set; allowed: one that retains"
        )
    if settled.get("lora_start") == "fila" and settled["lora_base"] == "nf4":
        raise BaldroError(
            "fila-of-quantised",
            "lora_start fila: it changes the frozen weights, which lora_base nf4 has in 4 bits; allowed: one of the two",
        )


def _check_padded(settled: Mapping[str, Any]) -> None:
    """Means over all positions of a padded batch: its samples are known before the step, and weigh alike whatever their length."""
    wanted = {"dv_level": "sample", "g_retain": "whole", "robust_scope": "batch", "forget_normalisation": "sample-mean"}
    if settled["retain_loss"] == "activations":
        wanted["retain_normalisation"] = "token-mean"  # whose tokens are all positions: samples weigh alike
    for name, value in wanted.items():
        if settled.get(name, value) != value:
            said = f"rmu_positions padded: {name} is {settled[name]}, but means are over whole padded batches; allowed: {name} {value}"
            raise BaldroError("padded-means", said)
