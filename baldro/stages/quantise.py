"""Quantisation: does what was forgotten come back when the unlearned model's weights are rounded to 4 or 8 bits?

Zhang et al. (2025, ICLR, arXiv 2410.16454) find that it may: unlearning with a small learning rate moves weights by less than the
distance of two 4-bit values, and rounding undoes it. They load models with bitsandbytes' FP4 and LLM.int8.
"""

from baldro.stages.stage import Kind, Stage


class Quantise(Stage):
    """Starts from another row's model, rounds its weights in memory, and leaves none: the rounded model is scored."""

    kinds = {"quantise": Kind(label="Quantised", parent="required")}
    trains = False
    tabled = True
    fields = {
        "quantised_to": {
            "kind": str,
            "default": "nf4",
            "choices": ("nf4", "fp4", "int8"),
            "text": "Values that the weights of linear layers, but for the output head, are rounded to: 4 bits a weight with a scale for "
            "64 of them (nf4, fp4: bitsandbytes' values), or 8 bits with a scale a row (int8: the weights only).",
        }
    }
