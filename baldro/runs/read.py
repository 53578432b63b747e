"""Which keys of a definition make what a verb writes."""

READ: dict[str, tuple[str, ...]] = {
    "benchmark": (
        *("kind", "source", "forget", "holdout", "retain_rows", "alternates"),
        *("train_on", "piece_words", "texts", "excerpt_words"),
        *("authors", "questions", "known_authors", "background_authors", "world_facts", "seed"),
    ),
    "model": ("build", "source", "target", "retain", "tokenizer", "prompt", "system", "date", "template"),
}
"""Verb -> keys of a benchmark's or a model's definition that it reads. The others are read by later rules, which name what they read, or by
`baldro plan`: a change of one makes neither table nor description anew."""
