"""Place -> model and tokenizer, checked; and the forward pass that training and scoring share.

A file a part: where a model comes from (`places`), one from scratch (`scratch`), whether a checkpoint is its model's (`checkpoint`),
what is known of a model before it is used (`description`), its output head (`heads`), the forward pass (`forward`), the norms in it
(`norms`), a pass without padding (`packing`).
"""

from typing import Any

__all__ = [
    "BUILD", "DTYPES", "activations_behind", "any_shape", "as_stored", "build", "cast", "check", "check_ids", "describe", "from_place",
    "full_float32", "hidden_and_targets", "layers", "load", "positions", "recompute_activations", "save", "through_head", "token_logp",
    "tokenizer", "twice_differentiable",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """What the parts offer; they are loaded when the first of it is asked for: the seconds of torch are not those of `hub`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from baldro.models import description, forward, places, scratch
    from baldro.records import model

    return next(vars(part)[name] for part in (description, forward, places, scratch, model) if name in vars(part))
