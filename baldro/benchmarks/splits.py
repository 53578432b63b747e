"""How a benchmark's splits belong together: as its definition says, never by their names."""

from collections.abc import Mapping
from typing import Any

from baldro.errors import BaldroError, unknown

WITHOUT_HOLDOUT = {
    "fictional": "the generator makes a split holdoutNN of each forgetNN",
    "muse": "privleak/holdout is held out",
}
"""Kind of benchmark -> why its definition does not name what is held out."""
FIXED = ("full", "base", "retain_perturbed", "real_authors_perturbed", "world_facts_perturbed")
"""Names that TOFU's schema has given away."""


def holdout(benchmark: Mapping[str, Any], split: str) -> str | None:
    """The split of rows that no model saw, which a membership attack holds a forget split against; None: the benchmark names none.

    Args:
        benchmark: its definition; in a benchmark of running text the section has a split of its own.
        split: a forget split.
    """
    if benchmark["kind"] == "fictional":
        return f"holdout{split[-2:]}"  # its generator takes forgetNN alone
    return (benchmark.get("holdout") or {}).get(split)


def check_splits(benchmark: Mapping[str, Any], *, what: str) -> None:
    """Whether a definition's names of splits can stand together.

    Args:
        what: the benchmark, for errors.

    Raises:
        BaldroError: `holdout` in a kind of benchmark that has its own, or of what is not a forget split; a name that is given away.
    """
    kind, held = benchmark["kind"], benchmark.get("holdout") or {}
    if "holdout" in benchmark and kind in WITHOUT_HOLDOUT:
        raise BaldroError(f"{what}: holdout: {WITHOUT_HOLDOUT[kind]}; allowed: with kind tofu")
    for name in held:
        if name not in benchmark["forget"]:
            raise unknown("forget split", name, benchmark["forget"], where=f"{what}: holdout")
    if kind != "tofu":
        return
    for name in (*benchmark["forget"], *benchmark["forget"].values(), *held.values()):
        if name in FIXED:
            raise BaldroError(
                f"{what}: a split is named {name!r}, which is another one's name; allowed: any but {', '.join(FIXED)}"
            )
