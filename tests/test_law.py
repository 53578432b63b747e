"""Who may know whom: the rooms stand in the order in which data flows, and a room imports only from rooms before it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from tests.rooms import ROOT, imported, modules, room

ORDER = """
errors slurm places durable prompts records models methods benchmarks stages runs training scoring plan
stats metrics analysis config report jobs warm cli
"""
ROOMS = ORDER.split()
MODULES = modules()


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_order_names_the_rooms_that_there_are():
    there = {room(path) for path in MODULES} - {"__init__"}
    assert there - set(ROOMS) == set()
    assert set(ROOMS) - there <= {"plan"}


def test_a_room_imports_only_from_rooms_before_it():
    """Written out, so that fingerprints see it; nothing of Snakemake's."""
    wrong = []
    for path in MODULES:
        here, names = room(path), imported(path.read_text(encoding="utf-8"))
        allowed = ROOMS[: ROOMS.index(here) + 1] if here != "__init__" else []
        rooms = {each.split(".")[1] for each in names if each.startswith("baldro.")} - set(allowed)
        odd = {each for each in names if each.startswith(".") or each.split(".")[0].startswith("snakemake")}
        wrong += [f"{name(path)} imports {each}" for each in sorted(rooms | odd)]
    assert not wrong


def test_the_workflow_imports_the_config_and_the_runs_only():
    pattern = re.compile(r"^\s*(?:from|import)\s+(baldro[\w.]*)", re.MULTILINE)
    files = [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]
    found = {module for path in files for module in pattern.findall(path.read_text())}
    assert found == {"baldro.config", "baldro.runs", "baldro.errors", "baldro.warm"}


def test_rules_are_calls_of_verbs_without_python_of_their_own():
    for path in (ROOT / "workflow").rglob("*.smk"):
        assert not re.search(r"^ +(run|script|notebook|wrapper):", path.read_text(), re.MULTILINE), path


def test_what_needs_no_model_loads_none():
    modules = ["config", "stages", "runs", "plan", "benchmarks", "metrics", "stats", "analysis", "report", "cli.main"]
    heavy = "{'torch', 'transformers', 'matplotlib', 'datasets', 'snakemake'}"
    code = f"""
import sys
for module in {modules}:
    __import__(f"baldro.{{module}}")
    print(module, sorted({heavy} & set(sys.modules)))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert process.stdout.splitlines() == [f"{module} []" for module in modules], process.stderr


def test_a_run_needs_nothing_that_only_configs_need():
    """So that a checkout trains and scores where little is installed."""
    absent = "sys.modules.update(dict.fromkeys(['pyarrow', 'scipy', 'datasets']))"
    code = f"import sys; {absent}; import baldro.runs, baldro.benchmarks"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert process.returncode == 0, process.stderr


def test_the_snakefile_is_a_table_of_contents():
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 60


def is_text(call: ast.Call) -> bool:
    """Whether a call reads or writes a file as text."""
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if isinstance(call.func, ast.Attribute) and called in ("read_text", "write_text"):
        return True
    of_os = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "os"
    modes = [each.value for each in ast.walk(call) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return called == "open" and not of_os and not any(re.fullmatch("[rwax+]*b[rwax+]*", mode) for mode in modes)


def test_no_text_depends_on_the_locale():
    found = []
    folders = ("baldro", "plugins")
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        lacking = [c for c in calls if is_text(c) and not any(k.arg == "encoding" for k in c.keywords)]
        found += [f"{name(path)}:{call.lineno}" for call in lacking]
    assert not found
