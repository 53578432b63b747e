"""A package that only some runs need is asked for before anything is trained, and only where a run needs it."""

from importlib import import_module

import pytest
import yaml
from refusals import refused

from baldro.cli.main import main
from baldro.runs import Run, check_packages, packages_of

POINT = dict(benchmark="fictional", model="tiny", split="forget10", objective="npo")
PLAIN, EIGHT = Run.of(**POINT), Run.of(**POINT, optimiser="adamw-8bit")


@pytest.fixture
def without(monkeypatch):
    """No optional package is installed."""
    monkeypatch.setattr(import_module("baldro.runs.packages"), "find_spec", lambda name: None)


def test_a_package_is_needed_by_the_runs_that_use_it(without):
    assert (packages_of(PLAIN), packages_of(EIGHT)) == ([], ["bitsandbytes"])
    check_packages([PLAIN])
    with refused("package-not-installed", "optimiser", "adamw-8bit", "bitsandbytes", "low-memory"):
        check_packages([PLAIN, EIGHT])


def test_a_config_is_refused_and_still_planned(without, tmp_path, capsys):
    """A plan is made on any machine."""
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"name": "x", "grid": {**POINT, "optimiser": ["adamw", "adamw-8bit"]}}))
    assert main(["plan", "--config", str(config)]) == 0
    assert main(["check", "--config", str(config)]) == 2
    assert "bitsandbytes" in capsys.readouterr().err
