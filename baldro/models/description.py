"""A model's definition -> its places and prompt, checked before anything is trained.

torch is loaded only when a place is opened: what is wrong with the definition itself is said at once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baldro.durable.contents import model_content
from baldro.errors import BaldroError, placed
from baldro.models import hub
from baldro.places import Source, described, parts, resolve
from baldro.prompts.prompt import KEYS, Prompt
from baldro.records.model import Description


def describe(name: str, definition: Mapping[str, Any], *, new_tokens: int = 0) -> Description:
    """Look up every place of a model, try its prompt and check its parts, before anything is trained on it.

    Args:
        new_tokens: the longest continuation that will be asked of it, which must fit its positions.

    Returns: the description, in which a branch or tag of the hub is the commit that it leads to now, so that every job takes the same
        weights.
    """
    found = {part: resolve(places, what=f"model {name} ({part})") for part, places in parts(definition).items()}
    starts = {part: str(source) for part, source in found.items()}
    prompt = Prompt.of(definition)
    declared = {key: definition[key] for key in KEYS if key in definition}
    if not starts:
        _check_built(name, prompt, [*declared, *(["tokenizer"] if "tokenizer" in definition else [])])
        from baldro.models.scratch import POSITIONS

        built = definition.get("build") or {}
        check_room(built.get("max_position_embeddings", POSITIONS), new_tokens, what=f"model {name} (build): ")
        return Description(name=name, prompt=prompt.text, build=definition.get("build"), starts={})
    coder_source = (
        resolve(definition["tokenizer"], what=f"model {name} (tokenizer)") if "tokenizer" in definition else None
    )
    from baldro.models.places import tokenizer
    from baldro.prompts.encode import try_prompt

    rendered = {}
    for part, start in starts.items():
        place = str(coder_source or start)
        with placed(f"model {name} ({place})"):
            coder = tokenizer(place)
            rendered[part], notes = try_prompt(coder, prompt)
        with placed(f"model {name} ({start})"):
            check(start, coder, prompt, new_tokens=new_tokens)
        for note in notes:
            print(f"model {name} ({place}): {note}")
    return Description(
        name=name,
        prompt=prompt.text,
        **declared,
        build=None,
        starts={part: _settled(source) for part, source in found.items()},
        tokenizer=_settled(coder_source) if coder_source else None,
        rendered=rendered,
        contents=_contents(name, definition) or None,
    )


def _settled(source: Source) -> str:
    """A place, with the commit in place of a branch or tag of the hub."""
    return str(source if source.path else hub.at_commit(source))


def _check_built(name: str, prompt: Prompt, others: list[str]) -> None:
    if "{question}" not in prompt.text:
        raise BaldroError(
            "prompt-without-question",
            f"model {name}: prompt {prompt.text!r}; allowed with build: text with {{question}} in it",
        )
    if others:
        raise BaldroError(
            "not-for-built-models",
            f"model {name}: {others[0]} is not for a model built from scratch; allowed: with source, or target and retain",
        )


def _contents(name: str, definition: Mapping[str, Any]) -> dict[str, str]:
    """Part, or `tokenizer` -> a hash of the local files that a prompt depends on; parts on the hub have commits instead."""
    found = {part: resolve(places, what=f"model {name} ({part})") for part, places in described(definition).items()}
    return {part: model_content(source.path, weights=False) for part, source in found.items() if source.path}


def check(start: str, tokenizer: Any, prompt: Prompt, *, new_tokens: int = 0) -> None:
    """Check what is known before weights are read: kind of layers, positions, vocabulary; of local weights also the tensors' shapes.

    Those on the hub are looked at when they are downloaded.

    Raises:
        BaldroError: a model that cannot be scored, or a checkpoint whose tensors are not the model's.
    """
    from transformers import AutoConfig

    from baldro.models import checkpoint
    from baldro.models.places import from_place, positions_of

    config = from_place(start, AutoConfig)
    with checkpoint.one_line(start):
        checkpoint.check_layers(config)
    check_room(positions_of(config), new_tokens)
    checkpoint.check_vocabulary(config, tokenizer, f"{prompt.text}\n{prompt.system or ''}")
    if not start.startswith("hub:") and Path(start).is_dir():
        checkpoint.check_tensors(Path(start), config)


def check_room(most: int, new_tokens: int, what: str = "") -> None:
    """Check that a prompt and its continuation can fit the model's positions.

    Args:
        most: the model's positions.
        new_tokens: the longest continuation that an evaluation asks for; 0 for none.
        what: the model, for the error.

    Raises:
        BaldroError: not even the shortest prompt would.
    """
    if new_tokens >= most:
        raise BaldroError(
            "too-few-positions",
            f"{what}max_new_tokens is {new_tokens}, of {most} positions for prompts too; allowed: at most {most - 1}",
        )
