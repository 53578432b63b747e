"""Text -> token ids: a model's prompt and what ends an answer."""
