"""The plan's words and tables about what fits on a card."""

import textwrap
from collections.abc import Mapping, Sequence

from baldro.plan.fits import Group, Setting, suggested
from baldro.plan.gpus import GPU
from baldro.plan.memory import CONTEXT, LOGITS
from baldro.plan.sizes import Unknown
from baldro.plan.text import WIDTH, count, size
from baldro.runs import STAGES

COLUMNS = ("fits", "train", "weights", "gradients", "moments", "activations", "logits", "score", "weights", "cache")
HEAD = ("GPUs", "runs", "settings", "training, on each", "scoring, on each", "GPU hours, all runs")
WORDS = {
    "gpu": lambda value: count(value, "card"),
    "shard": lambda value: "split" if value else "not split",
    "gradient_checkpointing": lambda value: "gradient checkpointing",
}
"""Settings that read better in other words than their own."""


def section(found: Mapping[Group, list[Setting] | Unknown], gpu: GPU, name: str) -> list[str]:
    """A table of each group's settings, and what is suggested.

    Args:
        found: group -> settings, or what is lacking to find them.
    """
    if not found:
        return ["no model needs a GPU"]
    lines = [
        f"GB on each {name} ({size(gpu.memory)}); train and score are sums of what stands right of them, and {CONTEXT / 1e9:g} GB",
        " ".join((*COLUMNS, " settings")),
    ]
    for group, settings in found.items():
        lines.append(title(group))
        if isinstance(settings, Unknown):
            lines.append(f"  {settings}")
            continue
        for setting in settings:
            lines += _row(setting)
        lines += _suggestion(group, settings, name)
    if any(setting.fields for settings in found.values() if not isinstance(settings, Unknown) for setting in settings):
        lines.append("* another run, with other numbers; the other settings change none beyond rounding")
    return lines


def title(group: Group) -> str:
    """*llama-2-7b-chat: unlearn, bf16, LoRA 32*."""
    adapters = f", LoRA {group.lora_rank}" if group.lora_rank else ""
    return f"{group.model}: {group.stage}, {group.precision}{adapters}"


def words(setting: Setting) -> str:
    """What is set, in few words; without the node's memory, which follows from it."""
    fields = [f"{name}: {value}" for name, value in setting.fields.items()]
    needs = [
        WORDS[name](value) if name in WORDS else f"{name}: {value}"
        for name, value in setting.needs.items()
        if name != "mem_mb"
    ]
    return ", ".join((*fields, *needs)) or "as configured"


def rows(found: Mapping[Group, list[Setting] | Unknown], gpus: str, total: str) -> list[tuple[str, ...]]:
    """Cells of a table's rows (HEAD), one a group, of what is suggested on some GPUs, whose hours in all are given."""
    cells: list[tuple[str, ...]] = []
    for group, settings in found.items():
        setting = None if isinstance(settings, Unknown) else suggested(settings)
        if setting is None:
            why = str(settings) if isinstance(settings, Unknown) else "none fits"
            cells.append((gpus, title(group), why, "", "", ""))
            continue
        same = "another run: " if setting.fields else ""
        held = (f"{value / 1e9:.0f} GB" for value in (setting.memory.training, setting.memory.scoring))
        cells.append((gpus, title(group), same + words(setting), *held, total))
    return cells


def table(cells: Sequence[Sequence[str]]) -> str:
    """Rows as Markdown."""
    lines = (HEAD, ("---",) * len(HEAD), *cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _row(setting: Setting) -> list[str]:
    held = setting.memory
    numbers = (
        held.training,
        *(held.weights, held.gradients, held.moments, held.activations, LOGITS),
        *(held.scoring, held.stored, held.cache),
    )
    cells = [f"{value / 1e9:.1f}" for value in numbers]
    fits = ("yes" if setting.fits else "no") + "*" * bool(setting.fields)
    head = " ".join(f"{cell:>{len(name)}}" for cell, name in zip((f"{fits:4}", *cells), COLUMNS, strict=True))
    first, *rest = textwrap.wrap(words(setting), WIDTH - 4 - len(head))
    return [f"{head}  {first}", *(f"{'':{len(head)}}  {text}" for text in rest)]


def _suggestion(group: Group, settings: Sequence[Setting], name: str) -> list[str]:
    """The lines to write for the first that fits; a warning where none does."""
    setting = suggested(settings)
    if setting is None:
        return [f"WARNING: more than there is on {name}, whatever is set"]
    if setting is settings[0] and not setting.needs:
        return []
    lines = ["WARNING: more than there is as configured; this fits:"]
    if setting.fields:
        where = "the grid" if STAGES[group.stage].temporary else f"{group.stage} of {group.model} in models.yaml"
        lines += [f"  in {where}: {_yaml(setting.fields)}"]
    if setting.needs:
        lines += [f"  in models.yaml, {group.model}: needs: {{{_yaml(setting.needs)}}}, beside what it says"]
    return lines


def _yaml(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {str(value).lower()}" for name, value in values.items())
