"""A config, whole: config.yaml, experiments/*.yaml."""

from functools import reduce
from operator import or_
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from baldro.benchmarks import KINDS
from baldro.config.fields import Axes
from baldro.config.model import Model
from baldro.config.paper import Paper
from baldro.config.part import Maybe, Once, Part
from baldro.config.selection import Attribution, Metric, Selection
from baldro.errors import BaldroError

Benchmark = Annotated[reduce(or_, KINDS.values()), Field(discriminator="kind")]
"""An entry of benchmarks.yaml, by its kind."""
Blocks = Annotated[list[Axes], Field(min_length=1)]
Grid = Annotated[
    Blocks,
    BeforeValidator(lambda value: value if isinstance(value, list) else [value], json_schema_input_type=Axes | Blocks),
]
"""One block, or a list of them: validation makes a list of either."""
Exclusions = Annotated[
    list[Annotated[dict[str, Any], Field(min_length=1)]], BeforeValidator(lambda value: [] if value is None else value)
]


class Config(Part):
    """An experiment: config.yaml, experiments/*.yaml."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("grid", "paper")

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the experiment; its tables, figures and report go to results/reports/{name}.",
    )
    description: str = Field("", description="A sentence about the experiment, shown in its report.")
    grid: Maybe[Grid] = Field(None, description="The axes, as one block or as a list of blocks whose runs are united.")
    paper: Maybe[Paper] = Field(
        None, description="In place of a grid: a paper's tables and figures, of the runs of other experiments."
    )
    exclude: Exclusions = Field(
        [],
        description="Runs to leave out; each entry names fields and values, and a run that has all of them is left out.",
    )
    selection: Selection = Field(Selection(rule="all"), description="Which runs of a sweep the tables show.")
    columns: Maybe[Once[Metric]] = Field(
        None, description="Metrics in the main tables, in this order; by default those that the benchmark's kind names."
    )
    attribution: Maybe[Attribution] = Field(None, description="What each of some crossed factors changes.")
    keep_models: bool = Field(
        False,
        description="The model of each run that unlearns stays after its scoring, if no other run of the experiment unlearns further from "
        "it: the last request's of a chain, so that a further request begins there and no earlier one is made again.",
    )
    models: dict[str, Model] = Field(
        {}, description="Names -> models, as in models.yaml; here for an experiment's own."
    )
    benchmarks: dict[str, Benchmark] = Field(
        {}, description="Names -> benchmarks, as in benchmarks.yaml; here for an experiment's own."
    )

    @model_validator(mode="after")
    def _of_a_grid(self) -> "Config":
        more = self.model_fields_set - {"name", "description", "paper"}
        if self.paper and more:
            raise BaldroError(
                "key-of-a-grid", f"{min(more)!r} is of a config with a grid; allowed beside paper: name, description"
            )
        return self
