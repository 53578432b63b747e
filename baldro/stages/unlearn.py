"""A model forgets a split, by an objective, a variant and a combiner."""

from baldro.methods.catalogue import COMBINERS, OBJECTIVES, VARIANTS
from baldro.stages.stage import Chosen, Kind, Stage

RETAINING = (
    "forget_weight",
    "retain_weight",
    "retain_loss",
    "retain_normalisation",
    "retain_variant",
    "combiner",
)
"""Fields of every objective to which a retain loss is added."""


class Unlearn(Stage):
    """Starts from the target, or from the model of an earlier request, and leaves a model until it is scored."""

    kinds = {name: Kind(label=method.label, parent="optional") for name, method in OBJECTIVES.items()}
    forgets = temporary = tabled = True

    def matters(self, chosen: Chosen) -> set[str]:
        method, variant = OBJECTIVES[chosen.objective], VARIANTS[chosen.variant]
        names = super().matters(chosen) | {*method.fields, *variant.fields, *variant.also, "robust_scope"}
        if method.retains:
            retained = VARIANTS[chosen.retain_variant].fields
            names |= {*RETAINING, *COMBINERS[chosen.combiner].fields, *(f"retain_{own}" for own in retained)}
        else:
            names.discard("g_retain")
        names |= {"micro_batch_size"} if chosen.robust_scope == "micro-batch" else set()
        whole = "dv_level" in names and chosen.dv_level == "token"  # tokens that are weighed by themselves have no mean
        return names | ({"forget_normalisation"} if method.tokens and not whole else set())
