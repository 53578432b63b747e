"""One set of pins: requirements.txt, which the environments repeat and pyproject.toml allows."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(lines: list[str]) -> dict[str, str]:
    """Package -> version, of lines that each pin one."""
    found = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==" and "*" not in specifier.version, line
            assert canonicalize_name(requirement.name) not in found, line
            found[canonicalize_name(requirement.name)] = specifier.version
    return found


def pinned() -> dict[str, str]:
    return pins((ROOT / "requirements.txt").read_text().splitlines())


def allowed() -> list[Requirement]:
    optional = [each for extra in PROJECT["optional-dependencies"].values() for each in extra]
    return [Requirement(each) for each in [*PROJECT["dependencies"], *optional]]


def environment(path: Path) -> tuple[list[str], dict[str, str]]:
    """conda's own packages, and pip's pins."""
    *plain, last = yaml.safe_load(path.read_text())["dependencies"]
    return plain, pins(last["pip"])


@pytest.mark.parametrize("requirement", allowed(), ids=lambda r: r.name)
def test_every_requirement_is_pinned_within_what_is_allowed(requirement):
    version = pinned()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=False)
    assert not requirement.specifier.contains("0.0.0"), "a range starts somewhere"


def test_torch_is_the_one_that_cpus_and_gpus_share():
    assert pinned()["torch"] == "2.13.0"


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda p: p.stem)
def test_an_environment_repeats_the_pins(path):
    plain, found = environment(path)
    assert found.items() <= pinned().items()
    assert "pip" in plain
    assert set(found) <= {canonicalize_name(r.name) for r in allowed()}


def test_environments_have_one_python_that_the_project_allows():
    (python,) = {next(p for p in environment(path)[0] if p.startswith("python=")) for path in ENVIRONMENTS}
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python.removeprefix("python="))


def test_every_environment_is_used_by_a_rule_and_every_rule_has_one():
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    for path in ENVIRONMENTS:
        assert f'"../../envs/{path.name}"' in rules
    assert rules.count("shell:") == rules.count("conda:")


def third_party(rooms: list[str]) -> set[str]:
    """The top-level packages that some rooms import, Python's own, baldro and what comes with jinja2 and pydantic left out."""
    files = [path for room in rooms for path in (ROOT / "baldro").glob(f"{room}*") if path.stem == room]
    files = [path for file in files for path in ([file] if file.is_file() else sorted(file.rglob("*.py")))]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return (
        {name.split(".")[0] for name in names}
        - set(sys.stdlib_module_names)
        - {"baldro", "markupsafe", "typing_extensions"}
    )


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda p: p.stem)
def test_an_environment_holds_what_its_stages_import(path):
    """Third-party packages that the stage's modules import at all; what they pull in is theirs."""
    shared = ["errors", "places", "durable", "runs", "config"]
    stages = {"data": [*shared, "benchmarks"], "report": [*shared, "metrics", "stats", "report"]}
    stages["train"] = [*shared, "benchmarks", "prompts", "models", "methods", "training", "scoring"]
    known = {{"pyyaml": "yaml"}.get(name, name.replace("-", "_")) for name in environment(path)[1]}
    assert third_party(stages[path.stem]) <= known


def test_places_on_the_hub_are_commits_but_for_those_of_which_none_is_known():
    """A branch moves; what leads nowhere else is said in models.yaml."""
    text = "".join((ROOT / name).read_text() for name in ("models.yaml", "benchmarks.yaml"))
    places = [
        place.partition("@")
        for line in text.splitlines()
        for place in re.findall(r"hub:([^\s,\]}]+)", line.partition(" #")[0])
    ]
    loose = {name for name, _, revision in places if not re.fullmatch(r"[0-9a-f]{40}", revision)}
    assert loose == {f"open-unlearning/tofu_Llama-2-7b-chat-hf_retain{share}" for share in (90, 95, 99)}
    assert len({revision for *_, revision in places}) == len({name for name, *_ in places}) - 2 > 15
