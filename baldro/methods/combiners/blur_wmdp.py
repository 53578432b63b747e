"""BLUR with the retain weight that was released for WMDP, 800 (Reisizadeh et al. 2025, arXiv 2506.08164)."""

from baldro.methods.combiners import Gradient, combiner
from baldro.methods.combiners.blur import update as blur


@combiner(label="BLUR WMDP", memory="one more gradient in float32", defaults={"retain_weight": 800.0})
def update(forget: Gradient, retain: Gradient, *, gamma: float, lam: float) -> Gradient:
    """gamma g_f + lam (g_r - g_f <g_f, g_r> / ||g_f||^2), inner products over the whole model: BLUR's update, written about g_f."""
    return blur(forget, retain, gamma=gamma, lam=lam)
