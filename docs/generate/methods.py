"""docs/methods.md, from the methods' docstrings and the passes that the plan counts with: python docs/generate/methods.py"""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import baldro
from baldro.durable.files import write_text
from baldro.jobs.methods import ELSEWHERE, KINDS
from baldro.methods.values import write
from baldro.plan import amounts
from baldro.plan.passes import HESSIAN_COST, Passes, of_forget, of_retain
from baldro.runs import FIELDS, Run

PAGE = Path(__file__).resolve().parents[1] / "methods.md"
LOSSES = Path(baldro.__path__[0]) / "training" / "update" / "losses.py"


def costs(kind: str, name: str) -> dict[str, str]:
    """What is counted -> passes of one sample through the model, a step."""
    own = dict(benchmark="b", model="m", split="s")
    if kind == "variant":
        run = Run.of(**own, objective="npo", variant=name)
        return {"whole batch in one pass": passes(of_forget(run)), "in several": passes(of_forget(run, micro_batch=1))}
    run = Run.of(**own, objective=name) if kind == "objective" else Run.of(**own, objective="npo", combiner=name)
    return {"forget sample": passes(of_forget(run)), "retain sample": passes(of_retain(run))}


def passes(found: Passes) -> str:
    """Passes in words: *1 forward without gradients, 0.5 forward and backward*."""
    counted = {"forward without gradients": found.forward, "forward and backward": found.trained}
    counted |= {"Hessian-vector product": found.hessian, "forward without gradients once a run": found.once}
    return ", ".join(f"{number:g} {what}" for what, number in counted.items() if number) or "none"


def allowed(spec: Mapping[str, Any]) -> str:
    """What a field may be: *above 0, at most 1*, *whole, at least 0*, or its choices."""
    if "choices" in spec:
        return ", ".join(spec["choices"])
    words = {"above": "above", "at_least": "at least", "at_most": "at most", "below": "below"}
    bounds = [f"{word} {spec[end]:g}" for end, word in words.items() if spec.get(end) is not None]
    return ", ".join((["whole"] if spec["kind"] is int else []) + bounds) or "any number"


def page() -> str:
    """The page of all methods."""
    options = dict(undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True)
    template = Environment(loader=FileSystemLoader(PAGE.parent / "generate"), **options).get_template("methods.md.j2")
    nodes = [node for node in ast.parse(LOSSES.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    said = {node.name.replace("_", "-"): (ast.get_docstring(node) or "").partition("\n\n")[0] for node in nodes}
    losses = {name: said[name] for name in FIELDS["retain_loss"]["choices"]}
    facts = dict(kinds=KINDS, costs=costs, allowed=allowed, write=write, losses=losses, elsewhere=ELSEWHERE)
    return template.render(**facts, curved=HESSIAN_COST, amounts=amounts)


if __name__ == "__main__":
    write_text(PAGE, page())
