"""Stages: what can be done with a model, a file each. A run is of one of them, and starts from what its stage says.

Nothing here imports torch: what a stage trains by stands in `baldro.training`.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from baldro.errors import BaldroError
from baldro.methods.catalogue import VARIANTS, own_fields
from baldro.stages.stage import Chosen, Kind, Origin, Stage

__all__ = ["KINDS", "STAGES", "STAGE_OF", "Chosen", "Kind", "Origin", "Stage", "fields"]


def _stages() -> dict[str, Stage]:
    """Stage -> its instance, by the names of the files beside this one.

    Raises:
        BaldroError: a file without exactly one stage.
    """
    found = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        if path.stem == "stage":
            continue
        try:
            module = import_module(f"{__name__}.{path.stem}")
        except Exception as error:  # whatever a user's file does
            raise BaldroError("file-not-readable", f"{path}: {error}; allowed: one subclass of Stage") from error
        made = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
        if len(made) != 1 or not issubclass(made[0], Stage) or not getattr(made[0], "kinds", None):
            raise BaldroError("not-a-stage", f"{path}: holds no stage; allowed: one subclass of Stage, with its kinds")
        found[path.stem.replace("_", "-")] = made[0]()
    return found


def _owners() -> dict[str, str]:
    """Kind of run -> its stage.

    Raises:
        BaldroError: a name that means two things in an id.
    """
    owners: dict[str, str] = {}
    for stage, facts in STAGES.items():
        for kind in facts.kinds:
            other = f"stage {owners[kind]}" if kind in owners else "a variant" if kind in VARIANTS else None
            if other:
                raise BaldroError("name-of-two", f"{kind!r} of stage {stage} is also {other}'s; allowed: another name")
            owners[kind] = stage
    return owners


STAGES: Mapping[str, Stage] = _stages()
STAGE_OF: Mapping[str, str] = _owners()
KINDS: Mapping[str, Kind] = {name: STAGES[stage].kinds[name] for name, stage in STAGE_OF.items()}


def fields() -> dict[str, Mapping[str, Any]]:
    """The own fields of methods and stages, each with what it is.

    Raises:
        BaldroError: a stage's field that a method or another stage has.
    """
    found = own_fields()
    for name, stage in STAGES.items():
        for own, spec in stage.fields.items():
            if own in found:
                raise BaldroError(
                    "field-means-two-things",
                    f"stage {name}: field {own} is another's; allowed: another name",
                )
            found[own] = spec
    return found
