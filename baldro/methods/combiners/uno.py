"""UNO, forget and retain gradients made orthogonal (Mandal and Gottwald 2025, arXiv 2506.04712): no descent on the forget loss itself.

The released code adds to the retain loss the squared cosine of the two gradients over the whole model, both of the loss that the model was
trained with, and gives the forget loss itself the weight 0. Its sign makes no difference: that is gradient ascent's forget loss here. The
code is for image models, its weights (CelebA: 1000) stand beside sums over pixels, and say nothing about a mean over tokens.
"""

from baldro.methods.combiners import Gradient, combiner, dot, mix, ratio


@combiner(label="UNO", memory="two more gradients in float32, and what a second derivative keeps")
def penalty(forget: Gradient, retain: Gradient) -> tuple[float, Gradient, Gradient]:
    """c^2 = p^2 / (||g_f||^2 ||g_r||^2), p = <g_f, g_r>; by g_f 2 p / (||g_f||^2 ||g_r||^2) (g_r - g_f p / ||g_f||^2), by g_r likewise.

    If either gradient is 0 there is no angle: then value and derivatives are 0.

    Cost: a product with a Hessian for each half: forward and backward once more, and a backward pass through both; four times a plain step.

    Returns: c^2 in [0, 1], its derivative by g_f, written over `forget`, and by g_r, new; `retain` stays as it is. All are NaN
    if a gradient is not finite.
    """
    square_f, square_r, p = dot(forget, forget), dot(retain, retain), dot(forget, retain)
    factor = ratio(p, square_f * square_r)
    along_retain = [g.clone() for g in retain]
    mix(forget, along_retain, gamma=2 * factor, lam=-2 * factor * ratio(p, square_r))
    along_forget = mix(retain, forget, gamma=2 * factor, lam=-2 * factor * ratio(p, square_f))
    return p * factor, along_forget, along_retain
