"""What a config of a whole paper says: which experiments each of its tables and figures shows."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator
from typing_extensions import TypeAliasType

from baldro.config.part import Maybe, Once, Part
from baldro.errors import BaldroError

Experiments = TypeAliasType(
    "Experiments",
    Annotated[
        Once[str],
        Field(
            description="Configs of experiments, relative to the checkout. Each keeps its own rule of selection and can be run "
            "and reported by itself; a run that several of them have is one run. Those with the same rule share a table."
        ),
    ],
)


class Paper(Part):
    """The tables and figures of BalDRO's paper, each with the experiments whose runs it shows; what is left out is not made."""

    table_1: Maybe[Experiments] = Field(None, description="Table 1: every method on question and answer (TOFU).")
    table_2: Maybe[Experiments] = Field(None, description="Table 2: every method on running text (MUSE News, Books).")
    table_3: Maybe[Experiments] = Field(None, description="Table 3: AUCs of membership attacks.")
    figure_3: Maybe[Experiments] = Field(None, description="Figure 3: forget quality of NPO and SimNPO by variant.")
    figure_4: Maybe[Experiments] = Field(None, description="Figure 4: over BalDRO-DV's temperature.")
    figure_5: Maybe[Experiments] = Field(None, description="Figure 5: with and without a robust retain batch.")
    percentiles: Maybe[Experiments] = Field(None, description="Appendix B: over the share that BalDRO-G keeps.")

    @model_validator(mode="after")
    def _some(self) -> "Paper":
        if not self.model_fields_set:
            raise BaldroError(
                "empty-paper", f"shows nothing; allowed: one or more of {', '.join(type(self).model_fields)}"
            )
        return self

    def named(self) -> Iterator[tuple[str, int, str]]:
        """(table or figure, place in its list, config) of all that is named, in the paper's order."""
        for name in type(self).model_fields:
            yield from ((name, at, file) for at, file in enumerate(getattr(self, name) or ()))
