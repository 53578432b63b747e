"""Fixtures that several rooms share."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

settings.register_profile(
    "alike", deadline=None, derandomize=True, max_examples=20
)  # the same draws anywhere, on machines of any speed
settings.register_profile(
    "search", deadline=None, max_examples=500
)  # others every time: HYPOTHESIS_PROFILE=search, in search of more
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "alike"))
signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell has Ctrl-C ignored in what it starts in its background, as CI does with these tests; what they start would inherit that."""
ROOT = Path(__file__).resolve().parents[1]


def absent(message: str) -> NoReturn:
    """What a user may not have skips a test; where everything must be there (BALDRO_REQUIRE_SHARED=1, as in CI) it fails."""
    if os.environ.get("BALDRO_REQUIRE_SHARED") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with published logs and real benchmark rows: $BALDRO_SHARED, or `shared` beside the checkout.

    Users do not have it.
    """
    folder = Path(os.environ.get("BALDRO_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        absent(f"no shared data at {folder} (set BALDRO_SHARED)")
    return folder


@pytest.fixture
def tiny_model() -> Any:
    """A Llama of two layers and 64 tokens with random weights, in float64 all through; its likelihoods differ from token to token."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, max_position_embeddings=64)
    heads = dict(num_attention_heads=4, num_key_value_heads=2)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**shape, **heads, tie_word_embeddings=True, initializer_range=0.25)).double()
    for layer in (model.model, *model.model.layers):
        for name in ("norm", "input_layernorm", "post_attention_layernorm"):
            if hasattr(layer, name):  # Llama's own goes through float32
                setattr(layer, name, torch.nn.RMSNorm(32, eps=1e-6, dtype=torch.float64))
    return model


@pytest.fixture(scope="session")
def save_classifier() -> Any:
    """(folder, labels) -> a small random text classifier stored there, and its tokenizer: stands in for the fluency classifier."""

    def save(folder: Path, labels: Sequence[str] = ("noise", "Clean", "word salad")) -> tuple[Any, Any]:
        import torch
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
        from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast

        words = ["the", "a", "cat", "sat", "on", "mat", "and", "who", "wrote", "it", "in", "town", "near", "sea"]
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        core = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, *words])}, unk_token="[UNK]"))
        core.pre_tokenizer = pre_tokenizers.Whitespace()
        core.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        names = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
        PreTrainedTokenizerFast(tokenizer_object=core, **names).save_pretrained(folder)
        torch.manual_seed(0)
        shape = dict(
            vocab_size=len(special) + len(words), dim=16, hidden_dim=24, n_layers=2, n_heads=2, initializer_range=0.5
        )
        config = DistilBertConfig(
            **shape, id2label=dict(enumerate(labels)), label2id={v: k for k, v in enumerate(labels)}
        )
        model = DistilBertForSequenceClassification(config).eval()
        model.save_pretrained(folder)
        return model, core

    return save
