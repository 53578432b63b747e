"""The grid's axes and the settings of a training: models made of what the fields of a run and the methods declare."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, create_model

from baldro.config.part import Once, Part
from baldro.errors import BaldroError, unknown
from baldro.methods.catalogue import INSTEAD, OBJECTIVES, VARIANTS
from baldro.methods.values import canonical
from baldro.runs.fields import AXES, FIELDS, HYPERPARAMETERS, IDENTITY
from baldro.runs.grid import TABLED

NAMES = {"objective": tuple(OBJECTIVES), "stage": TABLED, "variant": tuple(VARIANTS)}
"""Fields of a run whose values are stages or methods."""
OWN = tuple(name for name in HYPERPARAMETERS if "text" in FIELDS[name])
"""Fields that a method declares in its module."""
SETTINGS = tuple(name for name in HYPERPARAMETERS if name not in OWN)
"""Fields that no method owns, which the training of a model has too."""


def _name(name: str, value: Any) -> Any:
    """A benchmark, model or split, which is looked up later; a stage, an objective or a variant, which is looked up here."""
    if not isinstance(value, str):
        raise BaldroError("not-a-name", f"{name} is {value!r}; allowed: a name")
    if name == "objective" and value in INSTEAD:
        raise BaldroError("ambiguous-name", f"objective {value!r}: write {INSTEAD[value]}")
    if name in NAMES and value not in NAMES[name]:
        raise unknown(name, value, NAMES[name])
    return value


def _check(name: str) -> Callable[[Any], Any]:
    """What makes sure of one value of a field."""
    if name in (*IDENTITY, "stage"):
        return lambda value: _name(name, value)
    spec: Mapping[str, Any] = FIELDS[name]
    return lambda value: canonical(name, spec, value)


def _one(name: str) -> Any:
    return Annotated[Any, AfterValidator(_check(name))]


def listed(value: Any) -> Any:
    """One value as a list of it."""
    return value if isinstance(value, list) else [value]


def _several(name: str) -> Any:
    """One value, or a list of at least one: validation makes a list of either."""
    return Annotated[list[_one(name)], BeforeValidator(listed), Field(min_length=1)]


_Fields = create_model("_Fields", __base__=Part, **{name: (_several(name), None) for name in AXES})


class Then(_Fields):
    """A block under `then`: benchmark, model and split are those of the run before unless said otherwise and, where stage and objective are
    its own too, so are the variant and all hyperparameters."""

    requests: Once[str] = Field(None, description="In place of `split`: further requests, one after the other.")
    then: Annotated[list["Then"], BeforeValidator(listed), Field(min_length=1)] = Field(
        None, description="A block or blocks of runs that start from the model of each of these runs."
    )


class Axes(Then):
    """One block of the grid; every combination of its lists is a run. Any field of a run may be a list."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("split", "requests")

    benchmark: _several("benchmark")
    model: _several("model")
    requests: Once[str] = Field(
        None,
        description="In place of `split`: splits that are forgotten one after the other, the first from the target and each other one "
        "from the model of the one before, for every run of the block; what stands under `then` starts from each.",
    )
    then: Annotated[list[Then], BeforeValidator(listed), Field(min_length=1)] = Field(
        None,
        description="A block or blocks of runs that start from the model of each run of this block: an attack on it "
        "({stage: relearn, max_steps: 20} or {stage: quantise}), a second request ({split: forget10}), which may have a `then` in turn.",
    )


Settings = create_model(
    "Settings",
    __base__=Part,
    __doc__="Hyperparameters of one training: fields as in the grid, one value each.",
    **{name: (_one(name), None) for name in SETTINGS},
)
