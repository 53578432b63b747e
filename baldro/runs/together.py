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
        raise BaldroError(f"dv_level token: the loss of {objective} is not a mean over tokens; allowed: {able}")
    combiner = COMBINERS.get(settled.get("combiner"))
    if settled.get("dv_level") == "token" and combiner and combiner.kind == "penalty":
        able = ", ".join(name for name, other in COMBINERS.items() if other.kind != "penalty")
        raise BaldroError(
            f"combiner {settled['combiner']}: with dv_level token, weights of tokens are not samples'; allowed: dv_level sample, or {able}"
        )
    if combiner and settled.get("dual_warmup_epochs", 0) >= settled["epochs"]:
        raise BaldroError(
            f"dual_warmup_epochs {settled['dual_warmup_epochs']:g}: in {settled['epochs']:g} epochs the retain weight would never move; "
            "allowed: below epochs, or combiner sum"
        )
    if settled.get("retain_loss") == "activations" and "activations" not in method.needs:
        able = ", ".join(name for name, other in OBJECTIVES.items() if "activations" in other.needs)
        raise BaldroError(f"retain_loss activations: {objective} names no layer; allowed: objective {able}")
    if settled.get("retain_variant", "base") != "base" and settled["retain_normalisation"] == "token-mean":
        raise BaldroError(
            f"retain_variant {settled['retain_variant']}: with retain_normalisation token-mean a sample has no loss of its own; "
            "allowed: sample-mean, token-sum"
        )
    if settled.get("lora_start") == "fila" and not method.retains:
        raise BaldroError(
            f"lora_start fila: {objective} has no forget and retain set to weigh; allowed: objectives that retain"
        )
