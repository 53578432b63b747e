"""Place -> model and tokenizer, checked; and the forward pass that training and scoring share.

A file a part: where a model comes from (`places`), one from scratch (`scratch`), whether a checkpoint is its model's (`checkpoint`),
what is known of a model before it is used (`description`), its output head (`heads`), the forward pass (`forward`).
"""

from baldro.models.description import check, describe
from baldro.models.forward import (
    activations_behind,
    full_float32,
    hidden_and_targets,
    layers,
    recompute_activations,
    through_head,
    token_logp,
)
from baldro.models.places import DTYPES, as_stored, cast, check_ids, from_place, load, positions, save, tokenizer
from baldro.models.scratch import build
from baldro.records.model import BUILD

__all__ = [
    "BUILD", "DTYPES", "activations_behind", "as_stored", "build", "cast", "check", "check_ids", "describe", "from_place", "full_float32",
    "hidden_and_targets", "layers", "load", "positions", "recompute_activations", "save", "through_head", "token_logp", "tokenizer",
]  # fmt: skip
