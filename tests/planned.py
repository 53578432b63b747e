"""What the plan's tests plan: the paper's grid, and a benchmark whose sizes are known without its rows."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAPER = ROOT / "experiments" / "paper-tofu.yaml"
BENCHMARK = {
    "kind": "tofu",
    "source": ["hub:owner/rows@main"],
    "forget": {"forget10": "retain90"},
    "max_new_tokens": 100,
    "rows": {"forget10": 40, "retain_perturbed": 30, "real_authors_perturbed": 20, "world_facts_perturbed": 10},
    "tokens_per_row": 50,
}
