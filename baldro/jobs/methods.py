"""`baldro methods`: objectives, robust variants and combiners, a line each, or the docstrings of one. It imports no torch."""

import ast
import re
import textwrap
from argparse import Namespace
from pathlib import Path

from baldro.errors import unknown
from baldro.methods.catalogue import COMBINERS, INSTEAD, OBJECTIVES, VARIANTS, Combiner, Objective, Variant

WIDTH = 120
KINDS: dict[str, dict[str, Objective | Variant | Combiner]] = {
    "objective": {name: method for name, method in OBJECTIVES.items() if method.declared},
    "variant": dict(VARIANTS),
    "combiner": dict(COMBINERS),
}
"""Field of a run -> the methods that it may name."""
ELSEWHERE = {
    "DPO": f"write {INSTEAD['dpo']}",
    "LoKU": f"write {INSTEAD['loku']}",
    "PDU": "write objective pdu, whose usual combiner is dual: the margin loss and the dual variable",
    "KL minimisation": "write graddiff with retain_loss: kl",
    "GradDiff": "write objective graddiff; without its retain loss it is gradascent",
    "DRO on the retain set": "write retain_variant, with retain_normalisation: sample-mean or token-sum",
    "DrNPO, DrSimNPO, DrSatImp": "write npo, simnpo, satimp with variant: baldro-dv; where released code differs from the paper, "
    "dv_direction, robust_scope, retain_normalisation and dv_level have its form",
    "GroupNPO": "write npo with variant: baldro-g; where released code differs from the paper, g_rank, g_retain and robust_scope have "
    "its form",
    "UniErase": "not here: no loss of a forget batch; an unlearning token is learnt, then weights are edited",
    "GUARD": "not here: it acts at generation time, and the weights stay as they are",
    "CURE": "not here: it acts at generation time, and the weights stay as they are",
    "IAU": "not here: ascent, corrected by the retained gradient. Near to it: graddiff with combiner: blur-upper",
    "ReLearn": "not here: it needs generated data. Near to it: altpo, which takes other answers as data",
    "ICU": "not here: it needs the nearest analogue of each sample as data, and drops samples after each epoch",
}
"""Names of papers and other programs -> what to write here, or why there is nothing to write."""


def run(options: Namespace) -> None:
    """What the verb's options say."""
    print(about(options.name) if options.name else listing())


def listing() -> str:
    """A line a method, grouped by kind."""
    lines: list[str] = []
    for kind, methods in KINDS.items():
        wide = max(len(method.label) for method in methods.values())
        own = (line(name, method, wide) for name, method in methods.items())
        lines += [f"{kind.capitalize()}s ({kind}: NAME)", *own, ""]
    return "\n".join(
        [*lines, *textwrap.wrap(f"Other names: {', '.join(ELSEWHERE)}", WIDTH), "", "More: baldro methods NAME"]
    )


def line(name: str, method: Objective | Variant | Combiner, wide: int) -> str:
    """Name, label (in `wide` columns), what it is, and what it needs."""
    needs = getattr(method, "needs", ())
    tail = f"; needs {', '.join(needs)}" if needs else ""
    head = f"  {name:17}  {method.label:{wide}}  "
    said = re.sub(r" \([^()]*\b(\d{4}|arXiv)\b.*", "", method.declared.source.removeprefix(f"{method.label}: "))
    return head + textwrap.shorten(said, max(20, WIDTH - len(head) - len(tail)), placeholder=" ...") + tail


def about(name: str) -> str:
    """The docstrings of a method's module and function, and the function's fields; of a name from elsewhere, what to write here.

    Raises:
        BaldroError: no such method.
    """
    known = {each: (kind, method) for kind, methods in KINDS.items() for each, method in methods.items()}
    if name.lower() not in known:
        for names, text in ELSEWHERE.items():
            if name.lower() in (names.lower(), *names.lower().split(", ")):
                return f"{names}: {text}"
        raise unknown("method", name, [*known, *ELSEWHERE])
    kind, method = known[name.lower()]
    path = Path(method.declared.place.rpartition(":")[0])
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = next(node for node in tree.body if getattr(node, "name", None) == method.declared.function)
    signature = f"{own.name}({ast.unparse(own.args)})"  # type: ignore[attr-defined]
    needs = getattr(method, "needs", ())
    said = [
        f"{kind} {name.lower()}{f', in tables {method.label}' if method.label else ''}",
        ast.get_docstring(tree),
        signature,
    ]
    said += [ast.get_docstring(own), f"Needs: {', '.join(needs)} (docs/methods.md)" if needs else "", str(path)]
    return "\n\n".join(filter(None, said))
