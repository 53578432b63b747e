"""Which keys of a definition make what a verb writes."""

READ: dict[str, tuple[str, ...]] = {
    "model": (
        "build",
        "source",
        "target",
        "retain",
        "checkpoints",
        "tokenizer",
        "prompt",
        "system",
        "date",
        "template",
    ),
}
"""Verb -> keys of a model's definition that it reads; those of a benchmark are its kind's (`Definition.data_keys`). The others are read by
later rules, which name what they read, or by `baldro plan`: a change of one makes neither table nor description anew."""
