"""What a verb imports before it begins: each module that it does not need costs every job its seconds."""

import gc
import subprocess
import sys

import pytest

from baldro.jobs import imports

MODEL = {"torch", "transformers", "accelerate", "tokenizers", "peft", "datasets"}
TABLES = {"pandas", "pyarrow", "numpy", "scipy", "jinja2"}
PAGES = {"matplotlib", "nltk", "snakemake"}
WITHOUT = {
    "methods": MODEL | TABLES | PAGES | {"pydantic"},
    "check": MODEL | TABLES | PAGES,
    "plan": MODEL | TABLES | PAGES,
    "model": MODEL | PAGES | {"pandas", "pyarrow"},
    "download": MODEL | PAGES | {"pandas", "pyarrow"},
    "train": MODEL
    | TABLES
    | PAGES,  # notes signals first; then `training`, which loads no model to restore a finished run
    "training": MODEL | PAGES | {"scipy"},
    "benchmark": MODEL | PAGES | {"scipy"},
    "metrics": MODEL | PAGES,
    "report": MODEL | PAGES,
    "summary": MODEL | PAGES,
}
"""Verb (its module in `baldro.jobs`) -> packages that it must not import. Each also has what those before it import."""


@pytest.fixture(scope="module")
def imported():
    code = f"""
import sys
from importlib import import_module
import baldro.cli.main
for verb in {list(WITHOUT)}:
    import_module(f"baldro.jobs.{{verb}}")
    print(verb, *set({sorted(WITHOUT["methods"])}) & sys.modules.keys())
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    return {verb: set(names) for verb, *names in map(str.split, process.stdout.splitlines())}


@pytest.mark.parametrize("verb", WITHOUT)
def test_a_verb_imports_only_what_it_needs(imported, verb):
    assert not imported[verb] & WITHOUT[verb]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('model --name x --definition {"build":{},"system":"s"} --output m.json', "system"),
        ('model --name x --definition {"source":["nowhere"]} --output m.json', "nowhere"),
        ("download --place nowhere", "nowhere"),
        ("download --place .", "config.json"),
        ('download --name x --part target --definition {"source":["nowhere"]}', "target"),
    ],
)
def test_what_is_wrong_with_an_argument_is_said_without_torch(arguments, said, tmp_path):
    code = "import sys; from baldro.cli.main import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments.split()], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert process.stdout.split() == ["2", "False"] and said in process.stderr, process.stderr


def test_the_garbage_collector_runs_after_the_imports_even_after_an_error():
    with pytest.raises(ImportError), imports():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
