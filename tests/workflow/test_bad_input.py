"""A mistake in a config, as a user meets it: one line, and no job."""

import pytest

PROFILE = "Using workflow specific profile"

TOFU = {"kind": "tofu", "source": ["workflow"], "forget": {"forget10": "retain90"}}
MUSE = {"kind": "muse", "source": ["workflow"], "forget": {"forget": "retain"}}
MISTAKES = {
    "objective": ({"objective": "npoo"}, "unknown objective 'npoo'"),
    "ambiguous": ({"beta": 5}, "'beta' is not a key of grid; write dv_beta"),
    "split": ({"split": "forget01"}, "unknown split 'forget01' in benchmark few"),
    "bound": ({"dv_beta": 0}, "dv_beta is 0; allowed: a number above 0"),
    "layer": ({"objective": "rmu"}, "'rmu_layer' is 7, and model 'nano' has 1 layer; allowed: 0 to 0"),
    "answers": ({"objective": "altpo", "benchmarks": {"few": TOFU}}, "'altpo': benchmark 'few' has no other answers"),
    "questions": (
        {"objective": "idkdpo", "split": "forget", "benchmarks": {"few": MUSE}},
        "'idkdpo': benchmark 'few' has no questions",
    ),
    "told otherwise": ({"objective": ["npo", "dpo"]}, "objective 'dpo': write idkdpo"),
    "together": ({"retain_variant": "cvar"}, "retain_variant cvar: with retain_normalisation token-mean"),
    "definition": ({"models": {"tiny": {"source": ["x"]}}}, "'tiny' is defined otherwise in models.yaml"),
}


def lines(process) -> list[str]:
    """What was printed, both streams, without Snakemake's word on its profile."""
    text = process.stdout + process.stderr
    return [line for line in text.splitlines() if line.strip() and not line.startswith(PROFILE)]


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_no_job(fresh, tmp_path, case):
    changes, said = MISTAKES[case]
    path = fresh.write(str(tmp_path / "bad.yaml"), **changes)
    (line,) = lines(fresh.snakemake(path, code=1))
    assert line.startswith(f"baldro: {path}:")
    assert said in line
    assert not (fresh.folder / "results").exists()


def test_a_place_that_is_not_there_is_told_without_a_trace(fresh, tmp_path):
    tofu = {"kind": "tofu", "source": ["nowhere/tofu"], "forget": {"forget10": "retain90"}}
    path = fresh.write(str(tmp_path / "bad.yaml"), benchmarks={"few": tofu})
    (line,) = lines(fresh.snakemake(path, code=1))
    assert "benchmark few is not to be found; looked at: nowhere/tofu" in line
    assert not (fresh.folder / "results").exists()


def test_the_same_mistake_told_by_the_command_line(fresh, tmp_path):
    path = fresh.write(str(tmp_path / "bad.yaml"), objective="npoo")
    process = fresh.run("baldro", "check", "--config", path, code=2)
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith(f"baldro check: {path}:")


def test_a_verb_with_a_bad_file_is_one_line(fresh, tmp_path):
    (tmp_path / "cut.json").write_text("{")
    options = [
        "--run",
        "few--nano--forget10--retain",
        "--benchmark",
        "none.parquet",
        "--model",
        str(tmp_path / "cut.json"),
    ]
    process = fresh.run("baldro", "score", *options, "--output", str(tmp_path / "out"), code=2)
    assert process.stderr.startswith(f"baldro score: {tmp_path}/cut.json:1: not JSON")
    assert len(process.stderr.splitlines()) == 1


def test_a_key_that_stands_twice_is_one_line_though_snakemake_has_read_the_file(fresh, tmp_path):
    path = fresh.write(str(tmp_path / "twice.yaml"))
    with open(path, "a", encoding="utf-8") as file:
        file.write("name: other\n")
    (line,) = lines(fresh.snakemake(path, code=1))
    number = len((tmp_path / "twice.yaml").read_text().splitlines())
    assert line.startswith(f"baldro: {path}:{number}: key 'name' stands twice (first in line 1); allowed: once")
