"""Weighted sum of the two gradients, the usual way to unlearn and retain (gradient difference: Maini et al. 2024, arXiv 2401.06121)."""

from baldro.methods.combiners import Gradient, combiner, mix


@combiner(label="sum", memory="nothing more")
def update(forget: Gradient, retain: Gradient, *, gamma: float, lam: float) -> Gradient:
    """gamma g_f + lam g_r.

    The gradient of gamma L_f + lam L_r: one backward pass gives it without the two.

    Returns: the update, written over `retain`.
    """
    return mix(forget, retain, gamma=gamma, lam=lam)
