"""A mistake in a config, as a user meets it: one line, and no job."""

PROFILE = "Using workflow specific profile"


def lines(process) -> list[str]:
    """What was printed, both streams, without Snakemake's word on its profile."""
    text = process.stdout + process.stderr
    return [line for line in text.splitlines() if line.strip() and not line.startswith(PROFILE)]


def test_a_mistake_is_one_line_and_no_job(fresh, tmp_path):
    """Which mistakes there are: tests/config."""
    path = fresh.write(str(tmp_path / "bad.yaml"), objective="npoo")
    (line,) = lines(fresh.snakemake(path, code=1))
    assert line.startswith(f"baldro: {path}:") and "'npoo'" in line
    assert not (fresh.folder / "results").exists()
    process = fresh.run("baldro", "check", "--config", path, code=2)
    assert (process.stdout, process.stderr) == ("", line.replace("baldro:", "baldro check:", 1) + "\n")


def test_a_place_that_is_not_there_is_told_without_a_trace(fresh, tmp_path):
    tofu = {"kind": "tofu", "source": ["nowhere/tofu"], "forget": {"forget10": "retain90"}}
    path = fresh.write(str(tmp_path / "bad.yaml"), benchmarks={"few": tofu})
    (line,) = lines(fresh.snakemake(path, code=1))
    assert "benchmark few" in line and "nowhere/tofu" in line
    assert not (fresh.folder / "results").exists()


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
    (line,) = fresh.run("baldro", "score", *options, "--output", str(tmp_path / "out"), code=2).stderr.splitlines()
    assert line.startswith(f"baldro score: {tmp_path}/cut.json:1: ")


def test_a_key_that_stands_twice_is_one_line_though_snakemake_has_read_the_file(fresh, tmp_path):
    path = fresh.write(str(tmp_path / "twice.yaml"))
    with open(path, "a", encoding="utf-8") as file:
        file.write("name: other\n")
    (line,) = lines(fresh.snakemake(path, code=1))
    number = len((tmp_path / "twice.yaml").read_text().splitlines())
    assert line.startswith(f"baldro: {path}:{number}: ") and "'name'" in line and "line 1" in line
