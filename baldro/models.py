"""Name -> model and tokenizer: hub, folder, GGUF file, or built and trained from scratch; and the one forward pass that all share.

Shape legend: B samples, L positions, T answer tokens of the longest answer, N answer tokens of all samples, H width, V vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers.utils.logging
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from baldro import hub
from baldro.data.batches import Batch
from baldro.data.encode import encode
from baldro.errors import BaldroError
from baldro.grid.contents import model_content
from baldro.grid.experiment import described, parts
from baldro.grid.sources import Source, resolve

transformers.utils.logging.disable_progress_bar()

BUILD = "build"
"""The start of a model that is trained from scratch."""
DTYPES = {"fp32": torch.float32, "bf16": torch.float32, "bf16-only": torch.bfloat16}
"""Type of the weights in training: bf16 keeps fp32 master weights and computes in bf16."""
HEAD_ELEMENTS = 2**26
"""Logits in memory at a time; more are computed again in the backward pass instead of being kept."""


def describe(name: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Where a model's parts come from, every place looked up and the prompt tried, before anything is trained on it.

    Returns: what `results/models/{name}.json` holds: name, prompt, build, `starts`: base, target, retain90, ... -> place, and
        `contents`: the same parts -> a hash of the tokenizer's and config's files, of local ones. A branch or tag of the hub is
        stored as the commit that it leads to now, so that every job takes the same weights, however it moves.
    """
    found = {part: resolve(places, what=f"model {name} ({part})") for part, places in parts(definition).items()}
    starts = {part: str(source) for part, source in found.items()}
    prompt = definition.get("prompt", "{question}\n")
    for start in starts.values():
        try:
            encode(tokenizer(start), prompt, [("Who wrote it?", "Nobody knows who wrote it.")], longest=10**6)
        except BaldroError as error:
            raise BaldroError(f"model {name} ({start}): {error}") from None
    if not starts and "{question}" not in prompt:
        raise BaldroError(
            f"model {name}: prompt {prompt!r}; allowed for a model built from scratch: text with {{question}} in it"
        )
    return {
        "name": name,
        "prompt": prompt,
        "build": definition.get("build"),
        "starts": {part: str(source if source.path else hub.at_commit(source)) for part, source in found.items()},
        **_contents(name, definition),
    }


def _contents(name: str, definition: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """`contents`: part, or `tokenizer` -> a hash of the local files that a prompt depends on; nothing of the hub, which has commits."""
    found = {part: resolve(places, what=f"model {name} ({part})") for part, places in described(definition).items()}
    hashes = {part: model_content(source.path, weights=False) for part, source in found.items() if source.path}
    return {"contents": hashes} if hashes else {}


def build(architecture: Mapping[str, Any], texts: Iterable[str], *, seed: int) -> tuple[nn.Module, Any]:
    """A Llama with random weights and a byte-level BPE tokenizer trained on `texts`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    shape = dict(architecture)
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=shape.pop("vocab_size", 2048),
            special_tokens=special,
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
    )
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    torch.manual_seed(seed)
    shape.setdefault("max_position_embeddings", 512)
    ends = {"bos_token_id": made.bos_token_id, "eos_token_id": made.eos_token_id, "pad_token_id": made.pad_token_id}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(made), tie_word_embeddings=True, **ends, **shape)), made


def tokenizer(start: str) -> Any:
    """The tokenizer of a place; fast ones only, since answers are found by their characters."""
    made = from_place(start, AutoTokenizer)
    if not made.is_fast:
        raise BaldroError(f"{start}: no fast tokenizer; allowed: one with character offsets")
    return made


def load(start: str, *, precision: str | None = None) -> nn.Module:
    """The model of a place, its weights as training needs them, or as they are stored if `precision` is None."""
    dtype = "auto" if precision is None else DTYPES[precision]
    model = from_place(start, AutoModelForCausalLM, dtype=dtype)
    _check_head(model, start)
    return model


def positions(model: nn.Module) -> int:
    """Longest sequence in tokens."""
    return getattr(model.config, "max_position_embeddings", 10**6)


def save(model: nn.Module, tokenizer: Any, folder: Path, *, precision: str) -> None:
    """Weights (fp32, or bf16 where training computed in it) and tokenizer, as transformers reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    if precision != "fp32":
        model = model.to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def hidden_and_targets(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """One forward pass of the body; only what predicts an answer token goes on.

    Returns:
        hidden (N, H), target ids (N,), and mask (B, T): True where sample b has a t-th answer token, row by row the order of N.
    """
    hidden_BLH = model.base_model(input_ids=batch.ids_BL, use_cache=False).last_hidden_state
    predicts_BL = batch.answer_BL[:, 1:]
    count_B = batch.answer_BL.sum(1)
    mask_BT = torch.arange(int(count_B.max()), device=count_B.device) < count_B[:, None]
    return hidden_BLH[:, :-1][predicts_BL], batch.ids_BL[:, 1:][predicts_BL], mask_BT


@contextmanager
def activations_behind(model: nn.Module, layer: int | None) -> Iterator[list[Tensor]]:
    """A list that a forward pass within fills with the hidden states behind a layer, (B, L, H); it stays empty if `layer` is None.

    Raises:
        BaldroError: the model has no such layer.
    """
    found: list[Tensor] = []
    if layer is None:
        yield found
        return
    layers = next(m for m in model.base_model.children() if isinstance(m, nn.ModuleList))
    if layer >= len(layers):
        raise BaldroError(f"layer {layer}: the model has {len(layers)} layers; allowed: 0 to {len(layers) - 1}")
    hook = layers[layer].register_forward_hook(lambda _module, _inputs, output: found.append(_first(output)))
    try:
        yield found
    finally:
        hook.remove()


def _first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def token_logp(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """log p of each answer token given all before it.

    Returns:
        log-probabilities (B, T) in float32, 0 where mask is False, and mask (B, T).
    """
    hidden_NH, target_N, mask_BT = hidden_and_targets(model, batch)
    logp_N = through_head(_logp, model.get_output_embeddings(), hidden_NH, target_N)
    return logp_N.new_zeros(mask_BT.shape).masked_scatter(mask_BT, logp_N), mask_BT


def through_head(
    function: Callable[..., Tensor],
    head: Callable[[Tensor], Tensor],
    hidden_NH: Tensor,
    target_N: Tensor,
    other_head: Callable[[Tensor], Tensor] | None = None,
    other_hidden_NH: Tensor | None = None,
) -> Tensor:
    """What `function` makes of each row's logits, (N, ...); at most HEAD_ELEMENTS logits are in memory, and no more are kept.

    Args:
        function: (logits_NV in float32, target_N) -> (N, ...), row by row; with another head also its logits, which have no gradient.
        other_head, other_hidden_NH: of a second model, the reference.
    """

    def of_rows(hidden_NH: Tensor, target_N: Tensor, *other_NH: Tensor) -> Tensor:
        with torch.no_grad():
            others = [_float(other_head(rows)) for rows in other_NH]
        return function(_float(head(hidden_NH)), target_N, *others)

    given = [hidden_NH, target_N, *([other_hidden_NH] if other_hidden_NH is not None else [])]
    rows = max(1, HEAD_ELEMENTS // getattr(head, "out_features", hidden_NH.shape[1]))
    pieces = list(zip(*(one.split(rows) for one in given), strict=True))
    if len(pieces) == 1:
        return of_rows(*pieces[0])
    return torch.cat([checkpoint(of_rows, *piece, use_reentrant=False) for piece in pieces])


def _logp(logits_NV: Tensor, target_N: Tensor) -> Tensor:
    return -F.cross_entropy(logits_NV, target_N, reduction="none")


def _float(logits_NV: Tensor) -> Tensor:
    """float32, or what is finer already."""
    return logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()


def from_place(start: str, factory: Any, **options: Any) -> Any:
    """What a class of transformers (`factory`) loads from a folder, a GGUF file or hub:owner/name@revision.

    With HF_HUB_OFFLINE=1 the hub's cache is all there is: a file that it lacks is named, and no connection is tried. Nor is one for a
    commit that is whole in the cache.
    """
    if start.startswith("hub:"):
        source = resolve([start], what="the model")
        where: dict[str, Any] = {"pretrained_model_name_or_path": source.hub, "revision": source.revision}
        weights = factory is not AutoTokenizer
        folder = hub.cached(source, weights=weights) if hub.offline() else hub.ready(source, weights=weights)
        if folder:
            where = {"pretrained_model_name_or_path": str(folder)}
    else:
        source = Source(path=Path(start))
        where = _local(source.path, dequantize=factory is AutoModelForCausalLM)
    try:
        return factory.from_pretrained(**where, **options)
    except (OSError, ValueError, ImportError, KeyError, SafetensorError, hub.no_connection()) as error:
        raise BaldroError(
            f"{source}: cannot be loaded: {error}; allowed: a transformers folder, a GGUF file, or a reachable hub repository"
        ) from error


def _local(path: Path, *, dequantize: bool) -> dict[str, Any]:
    if path.suffix == ".gguf" and path.is_file():
        where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
        if dequantize:
            from transformers import GgufConfig

            where["quantization_config"] = GgufConfig(dequantize=True)
        return where
    if not (path / "config.json").is_file():
        raise BaldroError(f"{path}: no model there; allowed: a folder with config.json, or a .gguf file")
    return {"pretrained_model_name_or_path": str(path)}


def _louder(_module: nn.Module, _inputs: Any, output: Any) -> None:
    """Small logits would hide a cap."""
    output.last_hidden_state.mul_(1000)


@torch.no_grad()
def _check_head(model: nn.Module, start: str) -> None:
    """Some architectures change the logits behind the output head (softcap, scale); ours would then be wrong, so they are refused."""
    ids_BL = torch.arange(1, 5)[None]
    loud = model.base_model.register_forward_hook(_louder)
    body = model.base_model(input_ids=ids_BL, use_cache=False).last_hidden_state
    ours, theirs = model.get_output_embeddings()(body), model(input_ids=ids_BL, use_cache=False).logits
    loud.remove()
    if not torch.allclose(ours.float(), theirs.float(), atol=1e-3, rtol=1e-3, equal_nan=True):
        raise BaldroError(
            f"{start}: {type(model).__name__} changes its logits behind the output head; allowed: architectures that do not"
        )
