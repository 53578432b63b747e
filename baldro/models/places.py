"""Place -> model and tokenizer: a folder, a GGUF file or a repository on the hub; and back to a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers.utils.logging
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from baldro.durable.files import read_json, write_json
from baldro.errors import BaldroError
from baldro.models import checkpoint, heads, hub, norms
from baldro.places import Source, resolve

transformers.utils.logging.disable_progress_bar()

DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.float32,
    "bf16-only": torch.bfloat16,
    "bf16-stochastic": torch.bfloat16,
}
"""Type of the weights in training: bf16 keeps fp32 master weights and computes in bf16."""


def load(start: str, *, precision: str | None = None) -> nn.Module:
    """Load the model of a place, its weights in the type that training needs, or as stored if `precision` is None."""
    dtype = "auto" if precision is None else DTYPES[precision]
    model = from_place(start, AutoModelForCausalLM, dtype=dtype)
    heads.check(model, start)
    norms.fuse(model)
    return model


def tokenizer(start: str) -> Any:
    """Load the tokenizer of a place. It must be a fast one, since answers are found by character offsets."""
    if not start.startswith("hub:") and _only_tokenizer(Path(start)):
        made = _from_pretrained(AutoTokenizer, start, {"pretrained_model_name_or_path": start})
    else:
        made = from_place(start, AutoTokenizer)
    if not made.is_fast:
        raise BaldroError("no-fast-tokenizer", f"{start}: no fast tokenizer; allowed: one with character offsets")
    return made


def from_place(start: str, factory: Any, **options: Any) -> Any:
    """Load a class of transformers (`factory`) from a folder, a GGUF file or hub:owner/name@revision.

    With HF_HUB_OFFLINE=1 the hub's cache is all there is: a file that it lacks is named, and no connection is tried. Nor is one for a
    commit that is whole in the cache.
    """
    if start.startswith("hub:"):
        source = resolve([start], what="the model")
        where: dict[str, Any] = {"pretrained_model_name_or_path": source.hub, "revision": source.revision}
        weights = factory not in (AutoTokenizer, AutoConfig)
        folder = hub.cached(source, weights=weights) if hub.offline() else hub.ready(source, weights=weights)
        if folder:
            where = {"pretrained_model_name_or_path": str(folder)}
    else:
        source = Source(path=Path(start))
        where = _local(source.path, dequantize=factory is AutoModelForCausalLM)
    if factory in (AutoTokenizer, AutoConfig):
        return _from_pretrained(factory, source, where, **options)
    with checkpoint.one_line(source):
        place = where.pop("pretrained_model_name_or_path")
        if Path(place).is_dir() and "gguf_file" not in where:
            hub.check_no_adapters((path.name for path in Path(place).iterdir()), source)
        return checkpoint.load(factory, source, place, **where, **options)


def _only_tokenizer(path: Path) -> bool:
    """Whether a folder has a tokenizer and no model, as a place of its own may."""
    return (path / "tokenizer_config.json").is_file() and not (path / "config.json").is_file()


def _from_pretrained(factory: Any, source: object, where: Mapping[str, Any], **options: Any) -> Any:
    own = ", or a tokenizer's own places under `tokenizer` in the model's entry" if factory is AutoTokenizer else ""
    with checkpoint.one_line(source, own):
        return factory.from_pretrained(**where, **options)


def _local(path: Path, *, dequantize: bool) -> dict[str, Any]:
    if path.suffix == ".gguf" and path.is_file():
        where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
        if dequantize:
            from transformers import GgufConfig

            where["quantization_config"] = GgufConfig(dequantize=True)
        return where
    if not (path / "config.json").is_file():
        raise BaldroError(
            "no-model-there", f"{path}: no model there; allowed: a folder with config.json, or a .gguf file"
        )
    return {"pretrained_model_name_or_path": str(path)}


def positions(model: nn.Module) -> int:
    """The longest sequence that a model takes, in tokens."""
    return positions_of(model.config)


def positions_of(config: Any) -> int:
    """The longest sequence that a config allows, in tokens."""
    return getattr(config.get_text_config(), "max_position_embeddings", 10**6)


def check_ids(model: nn.Module, rows: Sequence[Sequence[int]]) -> None:
    """Check that every token id has a row in the model's embedding; without one a GPU would fail with an assertion of its own.

    Raises:
        BaldroError: one has not, as a special token that stands in a text by its name.
    """
    most = model.get_input_embeddings().weight.shape[0]
    for i, ids in enumerate(rows):
        if max(ids) >= most:
            raise BaldroError(
                "token-beyond-embedding",
                f"row {i} has token {max(ids)}, and the model's embedding has {most} rows; allowed: texts without the tokenizer's "
                "special tokens, or a model whose embedding was resized",
            )


def cast(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Cast a model's weights in place. Buffers stay: at position 2,000, rotary frequencies in bf16 are 2.4 radians off (Llama)."""
    for name, parameter in model.named_parameters():
        parameter.data = _in(dtype, model, name, parameter.data)
    return model


def _in(dtype: torch.dtype, model: nn.Module, name: str, weight: Tensor) -> Tensor:
    """A weight in a type, except those that the architecture keeps in float32 (some routers)."""
    strict = getattr(model, "_keep_in_fp32_modules_strict", None) or ()
    return weight if any(part in name for part in strict) else weight.to(dtype)


def save(model: nn.Module, tokenizer: Any, folder: Path, *, precision: str) -> None:
    """Store weights (fp32, or bf16 where training computed in it) and tokenizer for transformers; the model stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    if precision == "fp32":
        model.save_pretrained(folder)
    else:
        model.save_pretrained(folder, state_dict=_rounded(model, torch.bfloat16))
        config = folder / hub.CONFIG
        write_json(config, {**read_json(config), "dtype": "bfloat16"})
    tokenizer.save_pretrained(folder)


def as_stored(model: nn.Module, *, precision: str) -> nn.Module:
    """A trained model as `load` would give it after `save`, in place: its weights in the type in which they are stored."""
    if precision != "fp32":
        cast(model, torch.bfloat16)
    return model.requires_grad_(True)


def _rounded(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Tensors to store, weights in a type; tied weights stay one tensor."""
    weights = {id(p): _in(dtype, model, name, p.detach()) for name, p in model.named_parameters()}
    return {name: weights.get(id(value), value) for name, value in model.state_dict(keep_vars=True).items()}
