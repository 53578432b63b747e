"""Whether a checkpoint is its model's, known before its weights are read: names and shapes of its tensors, kind of layers, vocabulary.

transformers draws anew what a checkpoint lacks and passes over what it has too much: a wrong number without an error. Here its own
loader is given tensors without content, from the headers of the files, so that every renaming and fusing of its is applied.
"""

import logging
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import transformers.utils.logging
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    DynamicCache,
)
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from baldro.errors import BaldroError
from baldro.models import hub

HARMLESS = re.compile(r"(rotary_emb\.inv_freq|position_ids|\.(attn|attention)\.(masked_)?bias)$")
"""Tensors that old checkpoints hold and models compute: rotary frequencies, positions, causal masks."""
SHOWN = 3
"""Most names that an error lists."""
ALLOWED = "allowed: a checkpoint whose tensors have the names and shapes of its model"
ATTENTION = "allowed: models of attention layers"


@contextmanager
def one_line(source: object, more: str = "") -> Iterator[None]:
    """A block in which an error of transformers about a checkpoint becomes one line; `more` is added to what is allowed."""
    broken = (OSError, ValueError, ImportError, RuntimeError, SafetensorError, StrictDataclassError)
    pickled = (LookupError, EOFError, UnpicklingError, struct.error)  # of a file that is cut anywhere
    try:
        yield
    except (BaldroError, torch.OutOfMemoryError):
        raise
    except (*broken, *pickled, hub.no_connection()) as error:
        raise BaldroError(
            "model-not-loadable",
            f"{source}: cannot be loaded: {' '.join(str(error).split())}; allowed: a transformers folder, a GGUF file, or a reachable "
            f"hub repository{more}",
        ) from error


# Tensors -------------------------------------------------------------------------------------------------------------


def check_folder(folder: Path) -> None:
    """Run `check_tensors` on a folder with its own config."""
    with one_line(folder):
        config = AutoConfig.from_pretrained(folder)
    check_tensors(folder, config)


def check_tensors(folder: Path, config: Any) -> None:
    """Check that a folder's tensors are those of the model that its config describes. Only headers are read.

    Raises:
        BaldroError: tensors that are missing, too many or of another shape; adapters beside the model; a file that is cut short.
    """
    hub.check_no_adapters((path.name for path in folder.iterdir()), folder)
    if getattr(config, "quantization_config", None) is not None:
        return  # its loader rewrites the model; `load` looks at what that says
    options = dict(config=config, device_map="meta", dtype=torch.float32)
    with one_line(folder):
        load(architecture(config), folder, None, state_dict=headers(folder), **options)


def architecture(config: Any) -> Any:
    """The class of a checkpoint's model: a causal language model, or the classifier that its config names."""
    named = (getattr(config, "architectures", None) or [""])[0]
    judge = named.endswith("ForSequenceClassification")
    mapping = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING if judge else MODEL_FOR_CAUSAL_LM_MAPPING
    if type(config) not in mapping:
        raise ValueError(f"transformers has no causal language model of type {config.model_type}")
    found = mapping[type(config)]
    return found[0] if isinstance(found, tuple) else found


def headers(folder: Path) -> dict[str, Tensor]:
    """Name -> a tensor of the same shape without content, for each tensor that transformers would load."""
    first = hub.weights_file([path.name for path in folder.iterdir()])
    if first is None:
        raise BaldroError("no-weights", f"{folder} has no weights; allowed: {' or '.join(hub.WEIGHTS[::2])}")
    files = hub.shards(folder / first) if first.endswith(".index.json") else [first]
    return {name: tensor for file in files for name, tensor in _header(folder / file).items()}


def _header(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        with safe_open(file, framework="pt") as opened:
            names = list(opened.keys())
            return {name: torch.empty(opened.get_slice(name).get_shape(), device="meta") for name in names}
    options = dict(map_location="meta", weights_only=True)
    try:
        stored = torch.load(file, mmap=True, **options)
    except RuntimeError:  # the format before torch 1.6
        stored = torch.load(file, **options)
    return {name: value for name, value in stored.items() if isinstance(value, Tensor)}


def load(factory: Any, source: object, place: Any, **options: Any) -> nn.Module:
    """Call `factory.from_pretrained(place)` and check that every tensor is from the checkpoint.

    Raises:
        BaldroError: tensors that are missing, too many or of another shape, with their names and number.
    """
    with _reported() as report:
        try:
            model, info = factory.from_pretrained(
                place, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
        except RuntimeError as error:
            unfit = sorted(set(re.findall(r"^\s*([\w.{}, ]+?)\s*\|.*CONVERSION", "\n".join(report), re.MULTILINE)))
            if not unfit:
                raise
            raise BaldroError(
                "tensors-do-not-fit", f"{source}: parts of {_some(unfit)} are missing or do not fit together; {ALLOWED}"
            ) from error
    if getattr(model, "_hf_peft_config_loaded", False):  # from the hub: their folder was never looked at
        hub.check_no_adapters(hub.ADAPTERS[:1], source)
    _check_info(info, type(model).__name__, source)
    return model


def _check_info(info: Mapping[str, Any], name: str, source: object) -> None:
    """Check that a checkpoint has all tensors of a model and no others, by what `from_pretrained` reports."""
    found = {
        "missing": info["missing_keys"],
        "unexpected": [key for key in info["unexpected_keys"] if not HARMLESS.search(key)],
        "of another shape": [f"{key} {tuple(a)} instead of {tuple(b)}" for key, a, b in info["mismatched_keys"]],
    }
    if parts := [f"{len(names)} {what}: {_some(sorted(names))}" for what, names in found.items() if names]:
        raise BaldroError(
            "tensors-do-not-fit", f"{source}: its tensors are not those of {name}: {'; '.join(parts)}; {ALLOWED}"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


@contextmanager
def _reported() -> Iterator[list[str]]:
    """A list of transformers' reports on a checkpoint, tables of many lines, which are not printed: the error says it in one."""
    lines: list[str] = []

    def other(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if report := "LOAD REPORT" in text or "checkpoint seem corrupted" in text:
            lines.append(text)
        return not report

    handlers = transformers.utils.logging.get_logger("transformers").handlers
    for handler in handlers:
        handler.addFilter(other)
    try:
        yield lines
    finally:
        for handler in handlers:
            handler.removeFilter(other)


# What a config says --------------------------------------------------------------------------------------------------


def attention_cache(config: Any, name: str) -> DynamicCache:
    """An empty cache for the layers of a model, sliding windows included.

    Raises:
        BaldroError: a layer keeps a running state instead of keys and values: padding would be in it.
    """
    cache = DynamicCache(config=config)
    for layer in cache.layers:
        if not isinstance(layer, DynamicLayer) or isinstance(layer, LinearAttentionCacheLayerMixin):
            raise BaldroError(
                "not-only-attention", f"{name} has layers without keys and values ({type(layer).__name__}); {ATTENTION}"
            )
    return cache


def check_layers(config: Any) -> None:
    """Check that a model has attention layers only, not state-space layers or linear attention.

    Raises:
        BaldroError: it is not.
    """
    found = architecture(config)
    if found.__name__.endswith("ForSequenceClassification"):
        raise BaldroError("not-a-language-model", f"{found.__name__} is a classifier; allowed: causal language models")
    attention_cache(config, found.__name__)
    if getattr(found, "_is_stateful", False):
        raise BaldroError("not-only-attention", f"{found.__name__} keeps a running state; {ATTENTION}")


def check_vocabulary(config: Any, tokenizer: Any, prompt: str) -> None:
    """Check that every token that a text can contain has a row in the model's embedding.

    Special tokens that no text of ours holds (an unused padding or image token, as published tokenizers have) may lie beyond it: one that
    does not begin or end a text, and stands neither in the prompt nor in the chat template.

    Raises:
        BaldroError: a token beyond the embedding.
    """
    rows = config.get_text_config().vocab_size
    beyond = {token: i for token, i in tokenizer.get_vocab().items() if i >= rows}
    if not beyond:
        return
    template = getattr(tokenizer, "chat_template", None)
    read = "\n".join([prompt, *(template.values() if isinstance(template, dict) else [template or ""])])
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    ends = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token}
    met = sorted((t for t in beyond if t not in special or t in ends or t in read), key=beyond.__getitem__)
    if met:
        shown = _some([f"{token!r} ({beyond[token]})" for token in met])
        raise BaldroError(
            "token-beyond-embedding",
            f"{len(met)} tokens of the tokenizer lie beyond the model's embedding of {rows} rows: {shown}; allowed: the tokenizer that "
            "the model was trained with, or a model whose embedding was resized",
        )
