"""What is known of each method, in words: what its module declares (`baldro.methods.declared`), and its passes (`baldro.plan.passes`).

No module of a method is imported, and so torch is not.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from baldro.methods.declared import PACKAGE, Declared
from baldro.plan.passes import CURVED, Passes, of_forget, of_retain, share
from baldro.runs import COMBINERS, FIELDS, OBJECTIVES, VARIANTS, Run
from baldro.runs.loading import schema_of_everything
from baldro.runs.run import check, write

NEEDS = {
    "reference": "log-probabilities of the gold answers before unlearning: one forward pass over the forget split per "
    "model, shared by all runs",
    "reference_logits": "logits of the gold answers before unlearning: one forward pass of the run over the forget split; "
    "hidden states in the node's memory, a copy of the output head on the device",
    "activations": "hidden states behind a layer, from its own forward passes; with retain_loss activations also those "
    "before unlearning: one forward pass of the run over the retain samples that it draws, kept in the node's memory",
    "idk": "answers that decline to answer, made here, so a benchmark of questions; their log-probabilities before "
    "unlearning, a forward pass over them per model, shared by all runs",
    "alternates": "other answers, given as data (alternates: in benchmarks.yaml; a fictional benchmark makes them); their "
    "log-probabilities before unlearning, a forward pass over them per model, shared by all runs",
}
"""`needs` of an objective, in words."""
PLAIN = "one backward pass gives the sum: nothing more"
GIVES = {
    "update": "needs the two gradients apart, so forget and retain samples in passes of their own; nothing more",
    "multiplier": "one gradient; a number more from step to step: nothing more",
    "penalty": "both halves a second time, with a second derivative, for which attention has only its slower kernel",
}
"""What a combiner gives, and what that takes."""


YEAR = re.compile(r"\b\d{4}\b|\barXiv\b")
CITED = re.compile(rf" \(((?:[^()]|\([^()]*\))*(?:{YEAR.pattern})(?:[^()]|\([^()]*\))*)\)")
"""A source in brackets."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A method, as it is told."""

    kind: str
    """objective, variant or combiner."""
    declared: Declared
    label: str
    needs: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    """Further fields that matter with it."""
    usual: Mapping[str, Any]
    """Values that are usual with it, of fields that are not its own."""
    cost: Mapping[str, str]
    """What is counted -> passes through the model."""
    memory: str = ""

    @property
    def name(self) -> str:
        """As a config has it."""
        return self.declared.name

    @property
    def what(self) -> str:
        """What it is: without its label, and without the source in brackets."""
        text = CITED.sub("", self.declared.source).removeprefix(f"{self.label}: ").rstrip(".")
        return text[:1].upper() + text[1:]

    @property
    def paper(self) -> str:
        """The first source by its number, or its author and year; empty if it has none."""
        cited = CITED.search(self.declared.source)
        first = next(part for part in cited[1].split(";") if YEAR.search(part)) if cited else ""
        number = re.search(r"arXiv [\d.]+\d", first)
        return number[0] if number else first.strip()


def entries() -> dict[str, Entry]:
    """Every method by name: objectives, variants, combiners, each in the order of the grid."""
    return {entry.name: entry for entry in (*_objectives(), *_variants(), *_combiners())}


def _objectives() -> Iterator[Entry]:
    for name, method in OBJECTIVES.items():
        run = _run(name)
        cost = {"forget sample": passes(of_forget(run)), "retain sample": passes(of_retain(run))}
        yield Entry(
            kind="objective",
            declared=method.declared,
            label=method.label,
            needs=method.needs,
            usual=method.defaults,
            cost=cost,
        )


def _variants() -> Iterator[Entry]:
    for name, method in VARIANTS.items():
        forget = _run("npo", variant=name)
        retain = _run("npo", retain_variant=name, retain_normalisation="sample-mean")
        field = share(name)
        kept = f" ({default(field)}: {field})" if field else ""
        cost = {
            "half of a batch in one pass": passes(of_forget(forget)) + kept,
            "forget half in several": passes(of_forget(forget, micro_batch=1)) + kept,
            "retain half in several": passes(of_retain(retain, micro_batch=1)) + kept,
        }
        yield Entry(kind="variant", declared=method.declared, label=method.label, also=method.also, usual={}, cost=cost)


def _combiners() -> Iterator[Entry]:
    for name, method in COMBINERS.items():
        run = _run("npo", combiner=name)
        told = PLAIN if name == FIELDS["combiner"]["default"] else GIVES[method.kind]
        cost = {"forget and retain sample": passes(of_forget(run)), "that is": told}
        yield Entry(
            kind="combiner",
            declared=method.declared,
            label=method.label,
            usual=method.defaults,
            cost=cost,
            memory=method.memory,
        )


def _run(objective: str, **values: Any) -> Run:
    return Run.of(benchmark="b", model="m", split="s", objective=objective, **values)


def passes(found: Passes) -> str:
    """A sample's passes in words: *1 forward without gradients, 0.5 forward and backward*."""
    counted = {
        "forward without gradients": found.looks,
        "forward and backward": found.trained,
        f"with a second derivative (each about {CURVED} forward and backward)": found.curved,
        "forward without gradients once a run": found.once,
    }
    return ", ".join(f"{number:g} {what}" for what, number in counted.items() if number) or "none"


def allowed(spec: Mapping[str, Any]) -> str:
    """What a field may be: *above 0, at most 1*, *whole, at least 0*, or its choices."""
    if "choices" in spec:
        return ", ".join(spec["choices"])
    words = {"above": "above", "at_least": "at least", "at_most": "at most", "below": "below"}
    bounds = [f"{word} {spec[end]:g}" for end, word in words.items() if spec.get(end) is not None]
    return ", ".join((["whole"] if spec["kind"] is int else []) + bounds) or "any number"


def default(name: str) -> str:
    """A field's default, as an id would have it; *none* where it is left out."""
    return written(name, FIELDS[name]["default"])


def written(name: str, value: Any) -> str:
    """A value of a field, as an id would have it."""
    return "none" if value is None else write(check(name, value))


@cache
def texts() -> Mapping[str, str]:
    """Field -> what it means: the methods' own from their modules, the others from the config's schema."""
    return {name: spec["description"] for name, spec in schema_of_everything()["$defs"]["axes"]["properties"].items()}


def retain_losses() -> dict[str, str]:
    """retain_loss -> its formula, from the docstrings of `baldro.training.update.losses`."""
    tree = ast.parse((PACKAGE.parent / "training" / "update" / "losses.py").read_text(encoding="utf-8"))
    found = {
        node.name: (ast.get_docstring(node) or "").partition("\n\n")[0]
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    return {name: found[name.replace("-", "_")] for name in FIELDS["retain_loss"]["choices"]}
