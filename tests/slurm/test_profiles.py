"""The two profiles, without a cluster: what they say, and that rules and they do not contradict each other."""

import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
LOCAL, SLURM = (
    yaml.safe_load((ROOT / f"workflow/profiles/{name}/config.yaml").read_text()) for name in ("local", "slurm")
)
RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))
IN_THE_QUEUE = {"finetune", "reference", "unlearn", "score"}


def rules() -> dict[str, str]:
    texts = [text for path in RULES for text in path.read_text().split("\nrule ")[1:]]
    return {text.partition(":")[0]: text for text in texts}


def test_the_rules_that_hold_a_model_go_to_the_queue_and_the_others_stay():
    hold = {name for name, text in rules().items() if "--micro-batch" in text or "--batch-tokens" in text}
    stay = {name for name, text in rules().items() if "localrule: True" in text}
    assert hold == IN_THE_QUEUE
    assert set(rules()) - hold == stay


def test_what_computes_never_asks_the_hub():
    """Here as on a cluster: what comes from it is downloaded by the rules that stay."""
    assert {name for name, text in rules().items() if '"{OFFLINE} baldro ' in text} == IN_THE_QUEUE | {"metrics"}


def test_attempts_are_counted_in_one_place():
    assert SLURM["retries"] >= 1
    assert not any("retries:" in path.read_text() for path in RULES)
    assert not any(key.endswith("array-jobs") for key in SLURM)


def test_what_is_found_by_itself_takes_nothing_from_a_cluster():
    """profiles/default is read too when --profile names another, and wins key by key."""
    assert (ROOT / "profiles/default").resolve() == ROOT / "workflow/profiles/local"
    assert all(SLURM.get(key, value) == value for key, value in LOCAL.items())


def test_make_takes_a_profile():
    for name in ("local", "slurm"):
        said = subprocess.run(
            [shutil.which("make"), "--dry-run", "--always-make", "run", f"PROFILE={name}", "CONFIG=experiments/tofu-tiny.yaml"],
            capture_output=True, text=True, cwd=ROOT, check=True,
        ).stdout  # fmt: skip
        assert f"snakemake --configfile experiments/tofu-tiny.yaml --workflow-profile workflow/profiles/{name}" in said
