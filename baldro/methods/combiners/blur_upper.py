"""BLUR with the roles swapped, retaining below: forgetting may not undo it (Reisizadeh et al. 2025, arXiv 2506.08164)."""

from baldro.methods.combiners import Gradient, combiner, mix, share


@combiner(label="BLUR upper", memory="one more gradient in float32")
def update(forget: Gradient, retain: Gradient, *, gamma: float, lam: float) -> Gradient:
    """gamma g_f + (lam - gamma <g_f, g_r> / ||g_r||^2) g_r, inner products over the whole model.

    <update, g_r> = lam ||g_r||^2 whatever is forgotten. A retain gradient of 0 has no direction to protect: then gamma g_f.

    Returns: the update, written over `retain`; not finite where a gradient is not.
    """
    return mix(forget, retain, gamma=gamma, lam=lam - gamma * share(forget, retain))
