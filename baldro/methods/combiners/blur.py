"""BLUR, forgetting below: retaining may not undo it (Reisizadeh et al. 2025, arXiv 2506.08164; there gamma varies and lam is 1)."""

from baldro.methods.combiners import Gradient, combiner, mix, share


@combiner(label="BLUR", memory="one more gradient in float32")
def update(forget: Gradient, retain: Gradient, *, gamma: float, lam: float) -> Gradient:
    """lam g_r + (gamma - lam <g_r, g_f> / ||g_f||^2) g_f, inner products over the whole model.

    <update, g_f> = gamma ||g_f||^2 whatever is retained. A forget gradient of 0 has no direction to protect: then lam g_r.

    Returns: the update, written over `retain`; not finite where a gradient is not.
    """
    return mix(forget, retain, gamma=gamma - lam * share(retain, forget), lam=lam)
