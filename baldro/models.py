"""Name -> model and tokenizer: hub, folder, GGUF file, or built and trained from scratch; and the one forward pass that all share.

Shape legend: B samples, L positions, T answer tokens of the longest answer, N answer tokens of all samples, H width, V vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers.utils.logging
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from baldro import checkpoint, heads, hub
from baldro.data.batches import Batch
from baldro.data.encode import try_prompt
from baldro.data.prompt import KEYS, Prompt
from baldro.errors import BaldroError
from baldro.files import read_json, write_json
from baldro.grid.contents import model_content
from baldro.grid.experiment import described, parts
from baldro.grid.sources import Source, resolve

transformers.utils.logging.disable_progress_bar()

BUILD = "build"
"""The start of a model that is trained from scratch."""
DTYPES = {"fp32": torch.float32, "bf16": torch.float32, "bf16-only": torch.bfloat16}
"""Type of the weights in training: bf16 keeps fp32 master weights and computes in bf16."""
POSITIONS = 512
"""Of a model that is built, if its definition does not say."""
HEAD_ELEMENTS = 2**26
"""Logits in memory at a time; more are computed again in the backward pass instead of being kept."""


def describe(name: str, definition: Mapping[str, Any], *, new_tokens: int = 0) -> dict[str, Any]:
    """Where a model's parts come from, every place looked up and the prompt tried, before anything is trained on it.

    Args:
        new_tokens: the longest continuation that will be asked of it, which must fit its positions.

    Returns: what `results/models/{name}.json` holds: name, prompt and what is declared for it, build, `starts`: base, target, retain90, ...
        -> place, `tokenizer`: its place, if it has one of its own, `rendered`: part -> a hash of what the prompt gives there, and
        `contents`: the same parts -> a hash of the tokenizer's and config's files, of local ones. A branch or tag of the hub is
        stored as the commit that it leads to now, so that every job takes the same weights, however it moves.
    """
    found = {part: resolve(places, what=f"model {name} ({part})") for part, places in parts(definition).items()}
    starts = {part: str(source) for part, source in found.items()}
    prompt = Prompt.of(definition)
    declared = {key: definition[key] for key in KEYS if key in definition}
    if not starts:
        _check_built(name, prompt, [*declared, *(["tokenizer"] if "tokenizer" in definition else [])])
        built = definition.get("build") or {}
        check_room(built.get("max_position_embeddings", POSITIONS), new_tokens, what=f"model {name} (build): ")
        return {"name": name, "prompt": prompt.text, "build": definition.get("build"), "starts": {}}
    own = {}
    if "tokenizer" in definition:
        coder_source = resolve(definition["tokenizer"], what=f"model {name} (tokenizer)")
        own = {"tokenizer": str(coder_source)}
    rendered = {}
    for part, start in starts.items():
        place = own.get("tokenizer", start)
        try:
            coder = tokenizer(place)
            rendered[part], notes = try_prompt(coder, prompt)
        except BaldroError as error:
            raise BaldroError(f"model {name} ({place}): {error}") from None
        try:
            check(start, coder, prompt, new_tokens=new_tokens)
        except BaldroError as error:
            raise BaldroError(f"model {name} ({start}): {error}") from None
        for note in notes:
            print(f"model {name} ({place}): {note}")
    settled = {part: str(source if source.path else hub.at_commit(source)) for part, source in found.items()}
    if own and not coder_source.path:
        own = {"tokenizer": str(hub.at_commit(coder_source))}
    kept = {"name": name, "prompt": prompt.text, **declared, "build": None, "starts": settled, **own}
    return {**kept, "rendered": rendered, **_contents(name, definition)}


def _check_built(name: str, prompt: Prompt, others: list[str]) -> None:
    if "{question}" not in prompt.text:
        raise BaldroError(
            f"model {name}: prompt {prompt.text!r}; allowed for a model built from scratch: text with {{question}} in it"
        )
    if others:
        raise BaldroError(
            f"model {name}: {others[0]} is not for a model built from scratch, which has no chat template and makes its own tokenizer; "
            "allowed: with source, or target and retain"
        )


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
    shape.setdefault("max_position_embeddings", POSITIONS)
    ends = {"bos_token_id": made.bos_token_id, "eos_token_id": made.eos_token_id, "pad_token_id": made.pad_token_id}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(made), tie_word_embeddings=True, **ends, **shape)), made


def tokenizer(start: str) -> Any:
    """The tokenizer of a place; fast ones only, since answers are found by their characters."""
    if not start.startswith("hub:") and _only_tokenizer(Path(start)):
        made = _from_pretrained(AutoTokenizer, start, {"pretrained_model_name_or_path": start})
    else:
        made = from_place(start, AutoTokenizer)
    if not made.is_fast:
        raise BaldroError(f"{start}: no fast tokenizer; allowed: one with character offsets")
    return made


def load(start: str, *, precision: str | None = None) -> nn.Module:
    """The model of a place, its weights as training needs them, or as they are stored if `precision` is None."""
    dtype = "auto" if precision is None else DTYPES[precision]
    model = from_place(start, AutoModelForCausalLM, dtype=dtype)
    heads.check(model, start)
    return model


def full_float32() -> None:
    """Products of float32 matrices keep their 24 bits from now on: container images (TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1) and launchers
    switch GPUs to TF32, whose 11 bits move a float32 run by 1e-3, without a word.
    """
    torch.set_float32_matmul_precision("highest")


def recompute_activations(model: nn.Module) -> None:
    """Activations are computed again in the backward pass instead of being kept."""
    enable = getattr(model, "activation_checkpointing_enable", None)  # its name since transformers 5.23
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})


def check(start: str, tokenizer: Any, prompt: Prompt, *, new_tokens: int = 0) -> None:
    """What can be known of a place before its weights are read: kind of layers, positions, vocabulary; of weights that are here, tensors.

    Those on the hub are looked at when they are downloaded.

    Raises:
        BaldroError: a model that cannot be scored, or a checkpoint whose tensors are not the model's.
    """
    config = from_place(start, AutoConfig)
    with checkpoint.one_line(start):
        checkpoint.check_layers(config)
    check_room(_positions(config), new_tokens)
    checkpoint.check_vocabulary(config, tokenizer, f"{prompt.text}\n{prompt.system or ''}")
    if not start.startswith("hub:") and Path(start).is_dir():
        checkpoint.check_tensors(Path(start), config)


def positions(model: nn.Module) -> int:
    """Longest sequence in tokens."""
    return _positions(model.config)


def _positions(config: Any) -> int:
    return getattr(config.get_text_config(), "max_position_embeddings", 10**6)


def check_room(most: int, new_tokens: int, what: str = "") -> None:
    """Whether a prompt and what it is continued by can fit.

    Args:
        most: the model's positions.
        new_tokens: the longest continuation that an evaluation asks for; 0 for none.
        what: the model, for the error.

    Raises:
        BaldroError: not even the shortest prompt would.
    """
    if new_tokens >= most:
        raise BaldroError(
            f"{what}max_new_tokens is {new_tokens}, and the model has {most} positions, for prompts too; allowed: at most {most - 1}"
        )


def check_ids(model: nn.Module, rows: Sequence[Sequence[int]]) -> None:
    """Whether every token id has a row in the model's embedding; without one a GPU would end in an assertion of its own.

    Raises:
        BaldroError: one has not, as a special token that stands in a text by its name.
    """
    most = model.get_input_embeddings().weight.shape[0]
    for i, ids in enumerate(rows):
        if max(ids) >= most:
            raise BaldroError(
                f"row {i} has token {max(ids)}, and the model's embedding has {most} rows; allowed: texts without the tokenizer's "
                "special tokens, or a model whose embedding was resized"
            )


def cast(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The model itself, its weights in a type. Buffers stay: at position 2,000, rotary frequencies in bf16 are 2.4 radians off (Llama)."""
    for name, parameter in model.named_parameters():
        parameter.data = _in(dtype, model, name, parameter.data)
    return model


def _in(dtype: torch.dtype, model: nn.Module, name: str, weight: Tensor) -> Tensor:
    """A weight in a type, but for those that the architecture wants in float32 (some routers)."""
    strict = getattr(model, "_keep_in_fp32_modules_strict", None) or ()
    return weight if any(part in name for part in strict) else weight.to(dtype)


def save(model: nn.Module, tokenizer: Any, folder: Path, *, precision: str) -> None:
    """Weights (fp32, or bf16 where training computed in it) and tokenizer, as transformers reads them; the model stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    if precision == "fp32":
        model.save_pretrained(folder)
    else:
        model.save_pretrained(folder, state_dict=_rounded(model, torch.bfloat16))
        config = folder / hub.CONFIG
        write_json(config, {**read_json(config), "dtype": "bfloat16"})
    tokenizer.save_pretrained(folder)


def _rounded(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Every tensor that is stored, weights in a type; tied ones stay one."""
    weights = {id(p): _in(dtype, model, name, p.detach()) for name, p in model.named_parameters()}
    return {name: weights.get(id(value), value) for name, value in model.state_dict(keep_vars=True).items()}


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
    layers = _layers(model)
    if layer >= len(layers):
        raise BaldroError(f"layer {layer}: the model has {len(layers)} layers; allowed: 0 to {len(layers) - 1}")
    hook = layers[layer].register_forward_hook(lambda _module, _inputs, output: found.append(_first(output)))
    try:
        yield found
    finally:
        hook.remove()


def _layers(model: nn.Module) -> nn.ModuleList:
    """The layers of the body: its own, or of the decoder in it (OPT's)."""
    for body in (model.base_model, model.get_decoder()):
        found = [part for part in body.children() if isinstance(part, nn.ModuleList)]
        if found:
            return found[0]
    raise BaldroError(f"{type(model).__name__} has no list of layers; allowed: architectures that have")


def _first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def token_logp(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """log p of each answer token given all before it.

    Returns:
        log-probabilities (B, T) in float32, 0 where mask is False, and mask (B, T).
    """
    hidden_NH, target_N, mask_BT = hidden_and_targets(model, batch)
    logp_N = through_head(_logp, heads.head(model), hidden_NH, target_N)
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
    return torch.cat([recomputed(of_rows, *piece, use_reentrant=False) for piece in pieces])


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
        raise BaldroError(f"{path}: no model there; allowed: a folder with config.json, or a .gguf file")
    return {"pretrained_model_name_or_path": str(path)}
