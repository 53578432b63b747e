"""What the documentation says is so: files are there, commands exist, examples are read, numbers are the example report's."""

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from baldro.benchmarks import build
from baldro.cli.main import parser
from baldro.config import load
from baldro.plan import describe

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
TUTORIALS = ROOT / "docs" / "tutorials"


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_page_links_to_is_there(page):
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    lost = [each for each in targets if "://" not in each and not (page.parent / each).exists()]
    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_configs_that_a_page_names_exist(page):
    text = page.read_text()
    called = {
        command: set(re.findall(rf"(?:^ {{4}}|`)(?:\S*/)?{command} ([a-z][a-z-]*)", text, re.MULTILINE))
        for command in ("baldro", "make")
    }
    assert called["baldro"] <= set(re.findall(r"^ {4}([a-z]+)", parser().format_help(), re.MULTILINE))
    assert called["make"] <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert not [each for each in re.findall(r"experiments/[\w-]+\.yaml", text) if not (ROOT / each).is_file()]


def test_every_page_is_in_the_sites_menu():
    menu = re.findall(r": (\S+\.(?:md|html))$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    assert sorted(menu) == sorted(
        [*(str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")), "example/report.html"]
    )


def test_the_architecture_has_the_rooms_of_the_law_in_their_order():
    rooms = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/architecture.md").read_text(), flags=re.MULTILINE)
    law = (ROOT / "tests/test_law.py").read_text()
    assert rooms == re.search(r'ORDER = """\n(.*?)\n"""', law, flags=re.DOTALL)[1].split()


def test_the_readmes_table_is_the_example_reports():
    """`make example` renews what is shown; the README's rows are renewed by hand."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith("|")
    ]
    rows = [row for row in rows if len(row) == 6][2:]
    report = html.unescape(re.sub(r"<[^>]+>", " ", (ROOT / "docs/example/report.html").read_text()))
    report = re.sub(r"\s+", " ", report)
    assert len(rows) >= 9
    for row in rows:
        for cell in row[2:]:
            assert cell in report, (row[0], cell)


@pytest.mark.parametrize(("config", "gpu"), [("paper-tofu", "h200"), ("paper-muse", "h200"), ("cross-model", "h100")])
def test_the_readmes_hours_are_those_of_the_plan(config, gpu):
    (line,) = (
        line for line in (ROOT / "README.md").read_text().splitlines() if f"{config}.yaml PROFILE=slurm` |" in line
    )
    told = re.search(r"([\d.]+) h on (\w+)s \|$", line)
    planned = re.search(
        r"^  total +([\d.]+) h$", describe(load(ROOT / f"experiments/{config}.yaml"), gpu=gpu), re.MULTILINE
    )
    assert (told[1], told[2].lower()) == (planned[1], gpu)


def test_the_first_tutorials_config_means_the_runs_that_it_lists():
    page = TUTORIALS / "your-own-loss.md"
    (config,) = (yaml.safe_load(text) for text in blocks(page, "yaml"))
    config["grid"] = [
        block | {"objective": "wga"} if block["objective"] == "mine" else block for block in config["grid"]
    ]
    for block in config["grid"]:
        if (floors := block.pop("mine_floor", None)) is not None:
            block["wga_beta"] = floors
    assert blocks(page, "python") == blocks(ROOT / "README.md", "python")
    listed = next(text for text in blocks(page, "text") if text.startswith("few--nano"))
    assert len(load(config).lineage()) == len(listed.split())


def test_the_second_tutorials_rows_and_config_are_read(tmp_path):
    page = TUTORIALS / "your-own-model-and-data.md"
    (script,), (config,) = blocks(page, "python"), (yaml.safe_load(text) for text in blocks(page, "yaml"))
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)
    benchmark = config["benchmarks"]["museum"]
    benchmark["source"] = [str(tmp_path / place) for place in benchmark["source"]]
    frame = build(benchmark)
    assert "notes" not in frame.attrs and (frame["split"] == "gone").sum() == 16
    config["models"]["my-model"]["source"] = [str(tmp_path)]
    assert load(config).name == "museum"
