"""One set of pins: requirements.txt, within what pyproject.toml and the plugins allow; and the images that are built of them."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = {
    project["name"]: project
    for path in [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    for project in [tomllib.loads(path.read_text())["project"]]
}
"""Distributions of the checkout by name: baldro, and Snakemake's plugins."""


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


def pinned_for_docs() -> dict[str, str]:
    """Of the documentation's own environment."""
    return pins((ROOT / "docs" / "requirements.txt").read_text().splitlines())


def allowed() -> list[Requirement]:
    """What the distributions ask of others."""
    lists = [project["dependencies"] for project in PROJECTS.values()]
    lists += [each for project in PROJECTS.values() for each in project.get("optional-dependencies", {}).values()]
    found = {each for listed in lists for each in listed}
    return [Requirement(each) for each in sorted(found) if each not in PROJECTS]


@pytest.mark.parametrize("requirement", allowed(), ids=lambda r: r.name)
def test_every_requirement_is_pinned_within_what_is_allowed(requirement):
    version = (pinned_for_docs() | pinned())[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=False)
    assert not requirement.specifier.contains("0.0.0"), "a range starts somewhere"


def test_torch_is_the_one_that_cpus_and_gpus_share():
    assert pinned()["torch"] == "2.13.0"


def test_the_distributions_agree():
    assert len({(project["version"], project["requires-python"]) for project in PROJECTS.values()}) == 1
    assert {path.name for path in ROOT.glob("plugins/*")} == {*PROJECTS} - {"baldro"}


def test_baldro_asks_for_no_plugin():
    assert not [name for name in PROJECTS["baldro"]["dependencies"] if "plugin" in name]


@pytest.mark.parametrize("name", ["Dockerfile", "baldro.def"])
def test_an_image_is_the_environment_of_make_on_a_python_that_is_allowed(name):
    text = (ROOT / name).read_text()
    (version,) = re.findall(r"^F(?:ROM|rom:) python:([0-9.]+)-slim$", text, re.MULTILINE)
    assert Requirement(f"python{PROJECTS['baldro']['requires-python']}").specifier.contains(version)
    assert "make env VENV=/opt/baldro" in text and "PATH=/opt/baldro/bin:$PATH" in text


def test_places_on_the_hub_are_commits_but_for_those_of_which_none_is_known():
    """A branch moves; what leads nowhere else is said beside it."""
    text = "".join((ROOT / name).read_text() for name in ("models.yaml", "benchmarks.yaml"))
    places = [
        place.partition("@")
        for line in text.splitlines()
        for place in re.findall(r"hub:([^\s,\]}]+)", line.partition(" #")[0])
    ]
    loose = {name for name, _, revision in places if not re.fullmatch(r"[0-9a-f]{40}", revision)}
    gated = "llmunlearningsemeval2025organization/semeval25-unlearning-dataset-public"
    assert loose == {gated, *(f"open-unlearning/tofu_Llama-2-7b-chat-hf_retain{share}" for share in (90, 95, 99))}
    assert len({revision for *_, revision in places}) == len({name for name, *_ in places}) - (len(loose) - 1) > 15
