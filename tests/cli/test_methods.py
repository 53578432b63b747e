"""`baldro methods`: every method a line, all about one, and the page in docs/, against the grid's own fields and real docstrings."""

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from baldro.cli import main
from baldro.cli.methods import names
from baldro.cli.methods.entries import NEEDS, entries
from baldro.methods import catalogue as grid
from baldro.runs import COMBINERS, FIELDS, OBJECTIVES, VARIANTS, Run

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "methods.md"
ROOMS = {"objectives": OBJECTIVES, "variants": VARIANTS, "combiners": COMBINERS}
METHODS = {name: (room, m) for room, found in ROOMS.items() for name, m in found.items() if m.declared}
HEADS = {"objectives": "Objectives", "variants": "Robust variants", "combiners": "Combiners"}


def told(capsys, *words: str) -> str:
    """What the verb prints."""
    assert main(["methods", *words]) == 0
    return capsys.readouterr().out


def function(name: str):
    """A method's own function, imported."""
    room, method = METHODS[name]
    return getattr(importlib.import_module(f"baldro.methods.{room}.{name.replace('-', '_')}"), method.declared.function)


def sections() -> dict[str, str]:
    """Heading of an entry -> its text."""
    parts = re.split(r"^### (\S+)$", PAGE.read_text(), flags=re.MULTILINE)
    return {name: text.split("\n## ")[0] for name, text in zip(parts[1::2], parts[2::2], strict=True)}


# The list ------------------------------------------------------------------------------------------------------------


def test_a_name_is_one_methods():
    assert len(entries()) == sum(sum(m.declared is not None for m in found.values()) for found in ROOMS.values())
    assert list(entries()) == list(METHODS)


def test_every_method_has_one_line_under_its_heading(capsys):
    text = told(capsys)
    assert max(map(len, text.splitlines())) <= 120
    groups = re.split(r"^(\w[\w ]+) \((?:objective|variant|combiner): NAME\)\n", text, flags=re.MULTILINE)
    found = dict(zip(groups[1::2], groups[2::2], strict=True))
    assert list(found) == list(HEADS.values())
    for room, head in HEADS.items():
        lines = [line.split() for line in found[head].split("\n\n")[0].splitlines()]
        assert [words[0] for words in lines] == [name for name, (of, _) in METHODS.items() if of == room]


@pytest.mark.parametrize("name", METHODS)
def test_a_line_has_label_source_and_needs(capsys, name):
    (line,) = (line for line in told(capsys).splitlines() if line.split()[:1] == [name] and line.startswith("  "))
    method = METHODS[name][1]
    assert method.label in line
    first = re.search(r"arXiv [\d.]+\d", method.declared.source)
    assert not first or name == "baldro-dv-learned" or first[0] in line
    needs = getattr(method, "needs", ())
    assert line.endswith(f"; needs {', '.join(needs)}") if needs else "; needs" not in line


# One method ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_fields_defaults_and_bounds_are_the_grids(capsys, name):
    """As printed and as on the page: what is said to be allowed is, and what lies beyond is not."""
    said = " ".join(told(capsys, name).split())
    keyword_only = [p for p in inspect.signature(function(name)).parameters.values() if p.kind is p.KEYWORD_ONLY]
    own = {p.name: p.default for p in keyword_only if p.default is not p.empty}
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", sections()[name], flags=re.MULTILINE))
    assert rows.keys() == own.keys()
    for field, value in own.items():
        default, allowed, text = rows[field].split(" | ")
        spec = FIELDS[field]
        assert spec["default"] == value == (spec["kind"](default))
        assert f"{field}: {default} by default; allowed: {allowed}. {text}" in said
        assert text == spec["text"]
        if "choices" in spec:
            assert allowed.split(", ") == list(spec["choices"])
        else:
            _check_bounds(spec, allowed)


def _check_bounds(spec, allowed: str) -> None:
    limits = dict(re.findall(r"(above|at least|at most|below) (-?[\d.e-]+)", allowed))
    keys = {"above": "above", "at least": "at_least", "at most": "at_most", "below": "below"}
    there = {word: spec[key] for word, key in keys.items() if spec.get(key) is not None}
    assert {word: float(number) for word, number in limits.items()} == there
    assert ("whole" in allowed) == (spec["kind"] is int)
    assert limits or "whole" in allowed or allowed == "any number"


@pytest.mark.parametrize("name", METHODS)
def test_formula_source_needs_and_usual_values_are_told(capsys, name):
    method, text = METHODS[name][1], " ".join(told(capsys, name).split())
    first = inspect.getdoc(function(name)).split("\n\n")[0]
    module = inspect.getmodule(function(name)).__doc__.strip().split("\n\n")[0]
    page = " ".join(sections()[name].split())
    for part in (first, module):
        assert " ".join(part.split()) in text and " ".join(part.split()) in page
    for need in getattr(method, "needs", ()):
        assert f"{need}: {NEEDS[need]}" in text and f"Needs `{need}`: {NEEDS[need]}." in page
    for field, value in getattr(method, "defaults", {}).items():
        assert f"{field}: {value:g}" in text if isinstance(value, float) else f"{field}: {value}" in text
    if name in COMBINERS:
        assert method.memory in text and method.memory in page
    assert "Cost" in text and "- Cost: " in sections()[name]


def test_costs_by_hand(capsys):
    """The facts behind are compared with real steps in tests/plan/test_passes.py."""
    for name, said in {
        "npo": ["forget sample: 1 forward and backward retain sample: 1 forward and backward"],
        "altpo": ["forget sample: 2 forward and backward retain sample: 1 forward and backward"],
        "gradascent": ["retain sample: none"],
        "undial": ["forget sample: 1 forward and backward, 1 forward without gradients once a run retain"],
        "rmu": ["retain sample: 1 forward and backward, 1 forward without gradients once a run"],
        "cvar": ["in one pass: 1 forward without gradients, 0.5 forward and backward (0.5: cvar_alpha)"],
        "baldro-dv": [
            "forget half in several: 1 forward and backward",
            "retain half in several: 1 forward without gradients, 1 forward and backward",
        ],
        "topk": ["pass: 1 forward and backward forget half in several: 1 forward without gradients, 1 forward and"],
        "uno": ["1 forward and backward, 1 with a second derivative (each about 3 forward and backward)"],
        "dual": ["forget and retain sample: 1 forward and backward that is: one gradient"],
    }.items():
        text = " ".join(told(capsys, name).split())
        for part in said:
            assert part in text


def test_every_need_is_told():
    assert set(NEEDS) == set(grid.NEEDS)


# Names ---------------------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_one_line_with_the_nearest(capsys):
    assert main(["methods", "unddial"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("baldro methods: unknown method 'unddial' (did you mean undial?); allowed: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["UniErase", "guard", "CURE", "IAU", "ReLearn", "ICU", "DPO", "LoKU", "kl minimisation", "drsatimp"]
)
def test_names_from_elsewhere_are_told(capsys, name):
    text = told(capsys, name)
    assert name.lower() in text.lower().partition(":")[0] and text.count("\n") == 1


def test_what_is_told_to_be_written_instead_is_there():
    words = {word.strip(".,;:()") for text in names.OTHERWISE.values() for word in text.split()}
    there = {*METHODS, *FIELDS}
    for name in (
        "idkdpo",
        "altpo",
        "ihl",
        "lora_start",
        "pdu",
        "dual",
        "graddiff",
        "retain_loss",
        "baldro-dv",
        "dv_level",
    ):
        assert name in words & there
    Run.of(benchmark="b", model="m", split="s", objective="ihl", lora_rank=32, lora_start="fila")
    Run.of(benchmark="b", model="m", split="s", objective="graddiff", retain_loss="kl")
    assert Run.of(benchmark="b", model="m", split="s", objective="pdu").combiner == "dual"
    assert not {name.lower() for name in names.NOT_HERE} & set(METHODS)


def test_the_page_is_of_all_methods(capsys, tmp_path):
    assert main(["methods", "npo", "--output", str(tmp_path / "page.md")]) == 2
    assert "allowed: one of the two" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


# The page ------------------------------------------------------------------------------------------------------------


def test_the_page_is_what_the_verb_writes_now(tmp_path):
    """If this fails: `baldro methods --output docs/methods.md`, and commit it with the change."""
    assert main(["methods", "--output", str(tmp_path / "methods.md")]) == 0
    assert (tmp_path / "methods.md").read_text() == PAGE.read_text(), (
        "renew it: baldro methods --output docs/methods.md"
    )


def test_the_page_has_every_method_once_and_no_broken_table():
    text = PAGE.read_text()
    assert list(sections()) == list(METHODS)
    for name in METHODS:
        assert text.count(f"[`{name}`](#{name})") == 1
    for table in re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_the_page_tells_the_retain_half_lora_and_other_names():
    text = PAGE.read_text()
    for part in (
        "retain_loss",
        "retain_normalisation",
        "retain_variant",
        "lora_rank",
        "lora_alpha",
        "lora_dropout",
        "lora_start",
    ):
        assert f"| `{part}` |" in text
    for choice in FIELDS["retain_loss"]["choices"]:
        assert f"\n| `{choice}` |" in text
    for name in (*names.OTHERWISE, *names.NOT_HERE):
        assert f"\n| {name} |" in text


@pytest.mark.parametrize("words", [[], ["npo"], ["LoKU"], ["--output", "page.md"]], ids=" ".join)
def test_torch_is_not_imported(tmp_path, words):
    code = f"import sys; from baldro.cli import main; main({['methods', *words]!r}); print({{'torch', 'transformers'}} & {{*sys.modules}})"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert process.stdout.endswith("set()\n"), process.stdout + process.stderr


# The README ----------------------------------------------------------------------------------------------------------


def test_the_readme_names_every_method():
    chapter = (ROOT / "README.md").read_text().split("\n## What it can do\n")[1].split("\n## ")[0]
    for axis, room in (("objective", "objectives"), ("variant", "variants"), ("combiner", "combiners")):
        (row,) = (line for line in chapter.splitlines() if line.startswith(f"| `{axis}`"))
        there = {name for name, (of, _) in METHODS.items() if of == room}
        assert set(re.findall(r"`([a-z0-9-]+)`", row.split(" | ")[1])) == there


def test_the_readmes_objective_is_read_and_computes(tmp_path, monkeypatch):
    """Its example, as the file that it says it is."""
    import torch

    from baldro.methods import declared
    from baldro.methods.objectives import TokenStats

    (text,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    path = tmp_path / "objectives" / "mine.py"
    path.parent.mkdir()
    path.write_text(text)
    monkeypatch.setattr(declared, "PACKAGE", tmp_path)
    (found,) = declared.declared.__wrapped__("objectives", "objective").values()
    assert (found.name, found.function, found.options) == ("mine", "token_loss", {"label": "Mine"})
    assert found.formula == "max(log p_t, -floor), per token (B, T)."
    assert found.fields["mine_floor"]["at_least"] == 0 and found.fields["mine_floor"]["text"].startswith("Nats")
    spec = importlib.util.spec_from_file_location("mine", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stats = TokenStats(mask_BT=torch.ones(1, 3, dtype=bool), logp_BT=torch.tensor([[-1.0, -5.0, -9.0]]))
    assert module.token_loss(stats).tolist() == [[-1.0, -5.0, -6.0]]
    assert module.token_loss(stats, mine_floor=2.0).tolist() == [[-1.0, -2.0, -2.0]]
