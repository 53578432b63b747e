"""What a config says of its report: the rule of selection with its defaults, and metrics that its benchmarks have."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from baldro.errors import BaldroError, unknown

METRIC, OF = "forget_quality", "original"
"""Defaults of a rule (workflow/config.schema.yaml): what `best` means, and whose metric is to be kept."""
P_VALUE = "forget_quality"


def settle(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The rule of selection, whole: {rule: all}, or {rule: best, metric, ...} with its defaults written out.

    Raises:
        BaldroError: a key that only `best` has.
    """
    rule = dict(given or {"rule": "all"})
    if rule["rule"] == "all":
        more = next((key for key in rule if key != "rule"), None)
        if more:
            raise BaldroError(f"selection: {more!r} is of rule best; allowed: rule: best, or rule: all by itself")
        return rule
    rule.setdefault("metric", METRIC)
    if "subject_to" in rule:
        rule["subject_to"] = {"of": OF, **rule["subject_to"]}
    return rule


def check_metrics(
    rule: Mapping[str, Any],
    attribution: Mapping[str, Any] | None,
    kinds: Iterable[str],
    metrics: Mapping[str, Sequence[str]],
) -> None:
    """Whether the metrics that a rule and an attribution name are among those of some benchmark of the grid.

    Args:
        kinds: of the grid's benchmarks.
        metrics: of each kind.

    Raises:
        BaldroError: one that no benchmark has, or a p-value to attribute.
    """
    there = list(dict.fromkeys(name for kind in kinds for name in metrics[kind]))
    bound = rule.get("subject_to")
    named = [("selection", rule.get("metric")), ("selection.subject_to", bound and bound["metric"])]
    named += [("attribution", name) for name in (attribution or {}).get("metrics", ())]
    for where, name in named:
        if name and name not in there:
            raise unknown("metric", name, there, where=f"{where} (the grid's benchmarks)")
        if where == "attribution" and name == P_VALUE:
            raise BaldroError(
                f"attribution: {name!r} is a p-value, of which no effect is taken; allowed: {name}_d, ..."
            )
