"""What a config says of its report: which runs the tables show, and which factors' effects are told."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import TypeAliasType

from baldro.benchmarks import KINDS
from baldro.benchmarks.harness import PREFIX
from baldro.config.part import Maybe, Number, Once, Part
from baldro.config.yamlfile import Places
from baldro.errors import BaldroError, unknown

P_VALUE = "forget_quality"
"""The metric that is one (a test compares)."""


def metrics(kinds: Iterable[str]) -> list[str]:
    """Names of the metrics that benchmarks of these kinds have."""
    from baldro.metrics import METRICS  # here: it takes a second

    return [name for name, metric in METRICS.items() if any(metric.of(kind) for kind in kinds)]


def _listed(schema: dict[str, Any]) -> None:
    """A schema has the names that can be listed; a config's are looked up among those of its benchmarks."""
    schema.pop("type")
    schema["anyOf"] = [{"enum": metrics(KINDS)}, {"type": "string", "pattern": f"^{PREFIX}"}]


Metric = TypeAliasType(
    "Metric",
    Annotated[
        str,
        Field(description="A metric that the benchmarks of the grid have, by their kind.", json_schema_extra=_listed),
    ],
)


def _given(part: Part) -> dict[str, Any]:
    """The keys that were given, in the order in which they are declared."""
    return {name: getattr(part, name) for name in type(part).model_fields if name in part.model_fields_set}


class Bound(Part):
    """Only points that keep another metric, e.g. model utility of at least 0.95 of the original's."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("at_least", "at_most")

    metric: Metric = Field(description="The metric to keep.")
    at_least: Maybe[Number] = Field(None, gt=0, description="The least share of the reference row's value.")
    at_most: Maybe[Number] = Field(None, gt=0, description="The largest share of it.")
    of: Literal["original", "retain"] = Field("original", description="The reference row.")


class Selection(Part):
    """Which runs of a sweep the tables show; every table states it."""

    rule: Literal["all", "best"] = Field(
        description="all: every hyperparameter point, which is the default without this section. best: per method the point whose mean "
        "over seeds of `metric` is best."
    )
    metric: Metric = Field("forget_quality", description="What `best` means.")
    lower: bool = Field(False, description="True if a lower value of `metric` is better.")
    subject_to: Maybe[Bound] = Field(None, description="Another metric, which the best point has to keep.")

    @model_validator(mode="after")
    def _alone(self) -> "Selection":
        more = next((name for name in type(self).model_fields if name in self.model_fields_set - {"rule"}), None)
        if self.rule == "all" and more:
            raise BaldroError("key-of-another-rule", f"{more!r} is of rule best; allowed: rule: best")
        return self

    def settled(self) -> dict[str, Any]:
        """The rule, whole: {rule: all}, or {rule: best, metric, ...} with what is meant where nothing is said."""
        if self.rule == "all":
            return {"rule": "all"}
        rule = {"rule": "best", "metric": self.metric, **_given(self)}
        if self.subject_to:
            rule["subject_to"] = {"of": self.subject_to.of, **_given(self.subject_to)}
        return rule

    def named(self) -> Iterator[tuple[list[Any], str]]:
        """(path of keys, metric) of every metric that the rule is about."""
        if self.rule == "best":
            yield ["selection", "metric"], self.metric
        if self.subject_to:
            yield ["selection", "subject_to", "metric"], self.subject_to.metric


class Attribution(Part):
    """What each of some crossed factors changes: a table, a figure and a section of the report.

    The runs of a method must hold every level of a factor with every level of the others and every seed; each level is held against the
    field's default. None without this section.
    """

    factors: Once[str] = Field(description="Axes of the grid, e.g. dv_direction and retain_normalisation.")
    metrics: Maybe[Once[Metric]] = Field(
        None,
        description="What they are held to change; by default forget quality's D, model utility and extraction strength (MUSE, VerbMem "
        "and KnowMem).",
    )

    def named(self) -> Iterator[tuple[list[Any], str]]:
        """(path of keys, metric) of every metric of which an effect is taken."""
        for at, name in enumerate(self.metrics or ()):
            yield ["attribution", "metrics", at], name


def check_metrics(
    named: Iterable[tuple[list[Any], str]], kinds: Sequence[str], place: Places, *, tasks: Sequence[str] = ()
) -> None:
    """Whether the metrics that a config names are there, and those whose effects it asks for no p-values.

    Args:
        named: (path of keys, metric).
        kinds: of the benchmarks of the grid.
        place: where the config comes from.
        tasks: further metrics, of tasks of lm-evaluation-harness.

    Raises:
        BaldroError: otherwise, with the place.
    """
    usual = {name for kind in kinds for name in KINDS[kind].metrics} | {*tasks}
    for path, name in named:
        if name not in usual and name not in (there := [*metrics(kinds), *tasks]):
            where = f"{path[0]} (of the benchmarks of the grid)"
            error = unknown("metric", name, there, where=where)
            raise BaldroError(error.code, f"{place.at(path)}: {error}")
        if path[0] == "attribution" and name == P_VALUE:
            raise BaldroError(
                "effect-of-p-value",
                f"{place.at(path)}: {name!r} is a p-value, which has no effects; allowed: {name}_d, ...",
            )
