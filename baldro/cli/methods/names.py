"""Names that users look for and that are no method here, or have another name: what to write, or why there is nothing to write."""

from baldro.methods.catalogue import INSTEAD

OTHERWISE: dict[str, str] = {
    "DPO": INSTEAD["dpo"],
    "LoKU": INSTEAD["loku"],
    "PDU": "objective pdu, whose usual combiner is dual: the margin loss and the dual variable",
    "KL minimisation": "graddiff with retain_loss: kl",
    "GradDiff": "objective graddiff; without its retain loss it is gradascent",
    "DRO on the retain set": "retain_variant, with retain_normalisation: sample-mean or token-sum",
    "DrNPO, DrSimNPO, DrSatImp": "npo, simnpo, satimp with variant: baldro-dv; where released code differs from the paper, dv_direction, "
    "robust_scope, retain_normalisation and dv_level have its form",
    "GroupNPO": "npo with variant: baldro-g; where released code differs from the paper, g_rank, g_retain and robust_scope have its form",
}
"""Called so elsewhere -> what to write here."""

NOT_HERE: dict[str, str] = {
    "UniErase": "no loss of a forget batch: an unlearning token is learnt, then weights are edited",
    "GUARD": "not a training method: it acts at generation time, and the weights stay as they are",
    "CURE": "not a training method: it acts at generation time, and the weights stay as they are",
    "IAU": "a training method that is not here: ascent, corrected by the retained gradient. Near to it: graddiff with combiner: blur-upper",
    "ReLearn": "needs generated data: cross-entropy on augmented replacement answers, with retain losses. Near to it: "
    "altpo, which takes other answers as data",
    "ICU": "needs the nearest analogue of each sample as data (ascent, cross-entropy on the analogue, distance to the "
    "reference), and drops samples after each epoch; a run here has one forget split throughout",
}
"""Called so elsewhere -> why it is not here."""


def told(name: str) -> str | None:
    """What there is to say of a name that is no method here; capitals do not matter. None: nothing."""
    for names, text in {**OTHERWISE, **NOT_HERE}.items():
        if name.lower() in (names.lower(), *(each.lower() for each in names.split(", "))):
            return f"{names}: {f'write {text}' if names in OTHERWISE else text}"
    return None
