"""The fluency of texts, as a published classifier judges it: from the generated texts, without the model that generated them.

Source: madhurjindal/autonlp-Gibberish-Detector-492513457, whose classes are clean, mild gibberish, noise and word salad.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from baldro import models
from baldro.durable.progress import Progress
from baldro.errors import BaldroError

CLEAN = "clean"
"""Name of the class of fluent texts."""
LONGEST = 512
"""The classifier reads so many tokens of a text, the first ones."""


@torch.inference_mode()
def clean_probability(texts: Sequence[str], place: str, *, batch_size: int = 32, label: str = "fluency") -> list[float]:
    """Probability in [0, 1] of the class `clean` for each text, in order; an empty text is judged as it is.

    Args:
        place: folder or hub:owner/name@revision of a sequence classifier with one class called clean.
    """
    classifier, clean = _load(place)
    tokenizer = models.tokenizer(place)
    longest = min(LONGEST, models.positions(classifier))
    lengths = (
        [len(ids) for ids in tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]] if texts else []
    )
    order = sorted(range(len(texts)), key=lambda i: -lengths[i])
    progress = Progress(label, len(texts), unit="text")
    result = [float("nan")] * len(texts)
    for at in range(0, len(order), batch_size):
        batch = order[at : at + batch_size]
        coded = tokenizer(
            [texts[i] for i in batch], padding=True, truncation=True, max_length=longest, return_tensors="pt"
        )
        p_B = classifier(**coded.to(classifier.device)).logits.float().softmax(-1)[:, clean]
        for i, p in zip(batch, p_B.tolist(), strict=True):
            result[i] = p
            progress.advance(tokens=lengths[i])
    if not all(0 <= p <= 1 for p in result):
        raise BaldroError(
            "not-finite", f"{place} gives a probability that is NaN; allowed: a classifier with finite weights"
        )
    return result


def _load(place: str) -> tuple[nn.Module, int]:
    """The classifier, and the index of its class `clean`."""
    classifier: Any
    classifier = models.from_place(place, AutoModelForSequenceClassification)
    names = {int(i): str(name) for i, name in classifier.config.id2label.items()}
    found = [i for i, name in names.items() if name.lower() == CLEAN]
    if len(found) != 1:
        raise BaldroError(
            "no-clean-class",
            f"{place} has the classes {', '.join(names.values())}; allowed: exactly one called {CLEAN}",
        )
    return classifier.eval().to("cuda" if torch.cuda.is_available() else "cpu"), found[0]
