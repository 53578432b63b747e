"""Facts about the methods that make a run canonical: which fields matter to which objective, variant and combiner.

A method is a file of `objectives`, `variants` or `combiners`; what stands here is read from these (`declared`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from baldro.errors import BaldroError, placed, unknown
from baldro.methods.declared import Declared, declared

Specs = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Method:
    """Facts about every method."""

    label: str
    """Its name in tables; empty for the variant base."""
    fields: Specs = field(default_factory=dict)
    """Its own hyperparameters."""
    declared: Declared | None = None
    """Its module."""


@dataclass(frozen=True, kw_only=True)
class Objective(Method):
    """Facts about an objective."""

    retains: bool = False
    """True if a retain loss is added."""
    needs: tuple[str, ...] = ()
    """Needs of its loss: of the model before unlearning (reference, reference_logits, activations), or other answers (idk, alternates)."""
    tokens: bool = False
    """True if its loss is a mean over tokens, so that tokens can be reweighted, or averaged over the batch (forget_normalisation)."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Usual values of fields that are not its own."""

    @property
    def answers(self) -> str | None:
        """The other answers that it needs: idk, alternates or none."""
        return next((kind for kind in ANSWERS if kind in self.needs), None)


@dataclass(frozen=True, kw_only=True)
class Variant(Method):
    """Facts about a robust variant."""

    also: tuple[str, ...] = ()
    """Further fields that matter with it."""
    ranks: bool = False
    """True if most of its weights are 0: a forward pass without gradients finds the others."""
    online: bool = False
    """True if its weights can be found during the backward passes, by an online softmax."""
    uniform: bool = False
    """True if its weights are known before the losses."""


@dataclass(frozen=True, kw_only=True)
class Combiner(Method):
    """Facts about a combiner."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Usual values of fields that are not its own."""
    memory: str
    """Memory that it takes beside weights, optimiser and one gradient, in words."""
    kind: str
    """What its function returns: update, multiplier or penalty."""


NEEDS = ("reference", "reference_logits", "activations", "idk", "alternates")
ANSWERS = ("idk", "alternates")


def _made(make: type, found: Declared, usual: Mapping[str, Any], **facts: Any) -> Any:
    """A method of class `make`: its decorator's options, `usual` ones where the decorator has none, and `facts`."""
    options = {name: value for name, value in found.options.items() if value is not None}
    try:
        return make(fields=found.fields, declared=found, **facts, **{**usual, **options})
    except TypeError as error:
        raise BaldroError(
            "wrong-decorator-options", f"{found.place}: {error}; allowed: the options of its decorator"
        ) from None


def _objective(found: Declared) -> Objective:
    made = _made(Objective, found, {"retains": True}, tokens=found.function == "token_loss")
    wrong = [need for need in made.needs if need not in NEEDS]
    if wrong:
        with placed(found.place):
            raise unknown("need", wrong[0], NEEDS, where=f"objective {found.name}")
    if "activations" in made.needs and "rmu_layer" not in made.fields:
        raise BaldroError(
            "need-without-field",
            f"{found.place}: needs activations, but has no field rmu_layer; allowed: with it, as rmu",
        )
    return made


NO_OBJECTIVE = Objective(label="")
"""The objective of a run that forgets nothing."""
OBJECTIVES: dict[str, Objective] = {
    name: _objective(found) for name, found in declared("objectives", "objective").items()
}
_FOUND = {name: _made(Variant, found, {}) for name, found in declared("variants", "variant").items()}
VARIANTS: dict[str, Variant] = dict(sorted(_FOUND.items(), key=lambda pair: not pair[1].uniform))  # base first
COMBINERS: dict[str, Combiner] = {
    name: _made(Combiner, found, {}, kind=found.function) for name, found in declared("combiners", "combiner").items()
}


def own_fields() -> dict[str, Mapping[str, Any]]:
    """The methods' own fields, each with what it is; a variant's once more with `retain_` before it, for the retain batch.

    Raises:
        BaldroError: two methods that mean different things by one name.
    """
    found: dict[str, Mapping[str, Any]] = {}
    owner: dict[str, str] = {}
    for kind in (OBJECTIVES, COMBINERS, VARIANTS):
        for name, method in kind.items():
            for own, spec in method.fields.items():
                if found.setdefault(own, spec) != spec:
                    raise BaldroError(
                        "field-means-two-things",
                        f"{owner[own]} and {name} differ in field {own}; allowed: one meaning a name",
                    )
                owner.setdefault(own, name)
    for variant in VARIANTS.values():
        for own, spec in variant.fields.items():
            name = f"retain_{own}"
            if name in owner:
                raise BaldroError(
                    "field-means-two-things",
                    f"{owner[name]}: {name} is {own} of the retain batch; allowed: another name",
                )
            found[name] = {**spec, "text": f"As {own}, for the retain batch."}
    return found


AMBIGUOUS = {
    "beta": "dv_beta (temperature of BalDRO-DV), or an objective's own: npo_beta, simnpo_beta, ... (`baldro methods`)",
    "b_dv": "dv_beta",
    "lambda": "retain_weight",
    "gamma": "forget_weight",
    "learning_rate": "lr",
    "ratio": "split (forget01, forget05, ...)",
    "forget": "split (forget01, forget05, ...)",
    "lora": "lora_rank",
}
INSTEAD = {
    "dpo": "idkdpo (answers that say I do not know) or altpo (other answers, given as data)",
    "loku": "ihl with lora_start: fila",
}
"""A method's other names -> how it is written here."""
