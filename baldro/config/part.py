"""What all sections of a config have in common, and types of their values."""

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WrapValidator,
    model_validator,
)
from typing_extensions import TypeAliasType

from baldro.errors import BaldroError


class Part(BaseModel):
    """A section: no key that is not declared, and no conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    ONE_OF: ClassVar[tuple[str, ...]] = ()
    """Keys of which exactly one must be given."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        found = handler.resolve_ref_schema(handler(core))
        if cls.ONE_OF:
            found["oneOf"] = [{"required": [name]} for name in cls.ONE_OF]
        return found

    @model_validator(mode="after")
    def _one_of(self) -> "Part":
        given = [name for name in self.ONE_OF if name in self.model_fields_set]
        if self.ONE_OF and len(given) != 1:
            raise BaldroError(
                "not-one-of",
                f"has {', '.join(given) or 'none'}; allowed: exactly one of {', '.join(self.ONE_OF)}",
            )
        return self


def _not_null(value: Any) -> Any:
    if value is None:
        raise BaldroError("null-value", "is null; allowed: a value, or no such key")
    return value


def _twice(values: list[Any]) -> list[Any]:
    again = next((value for at, value in enumerate(values) if value in values[:at]), None)
    if again is not None:
        raise BaldroError("value-stands-twice", f"has {again!r} twice; allowed: once")
    return values


T = TypeVar("T")
Maybe = Annotated[T | None, BeforeValidator(_not_null)]
"""What may be left out."""
Number = Annotated[float, WrapValidator(lambda value, check: (check(value), value)[1])]
"""A number that stays as it is written: 1 does not become 1.0."""
Once = Annotated[list[T], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_twice)]
"""At least one, none twice."""
Sources = TypeAliasType(
    "Sources",
    Annotated[
        list[str],
        Field(
            min_length=1,
            description="Places to take something from; the first that exists is used, and the log says which. A folder or file (relative "
            "to the checkout, wherever Snakemake works; $NAME is an environment variable, and an entry with an unset one is passed over), "
            "or hub:owner/name@revision: a commit, or a branch or tag, of which a model's runs take the commit that was found when it was "
            "described. Other bytes in the files of the place make anew what was made from them; another time alone does not.",
        ),
    ],
)
