"""BLUR as released for WMDP: the retain gradient without what it has of the forget gradient, weighted (arXiv 2506.08164).

It is BLUR's update, written about g_f; what differs is the usual retain weight.
"""

from baldro.methods.combiners import Gradient, combiner, mix, share


@combiner(label="BLUR WMDP", memory="one more gradient in float32", defaults={"retain_weight": 800.0})
def update(forget: Gradient, retain: Gradient, *, gamma: float, lam: float) -> Gradient:
    """gamma g_f + lam (g_r - g_f <g_f, g_r> / ||g_f||^2), inner products over the whole model.

    The second term is orthogonal to g_f. A forget gradient of 0 takes nothing from it: then lam g_r.

    Returns: the update, written over `retain`; not finite where a gradient is not.
    """
    return mix(forget, retain, gamma=gamma - lam * share(retain, forget), lam=lam)
