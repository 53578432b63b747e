"""Evidence -> numbers: each metric's definition has its own file, and `METRICS` is the list of all of them.

Nothing here needs a model or torch. To add a metric, write its definition and add one line to `METRICS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from baldro.errors import unknown
from baldro.metrics.evidence import PARAPHRASED, SECTIONS, Section, check_same_rows, read_evidence
from baldro.metrics.forget_quality import forget_quality, forget_quality_d
from baldro.metrics.memorization import exact_memorization, extraction_strength
from baldro.metrics.probability import normalised_probability, probability
from baldro.metrics.rouge import rouge_l_recall
from baldro.metrics.truth_ratio import forget_truth_ratio, truth_ratio, utility_truth_ratio
from baldro.metrics.utility import model_utility

__all__ = ["METRICS", "Inputs", "evaluate", "truth_ratios"]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a metric may look at."""

    sections: Mapping[str, Section]  # the model's evidence, all four sections
    retain_forget: Section  # the retain model's evidence on the same forget rows
    values: Mapping[str, float]  # metrics before this one in METRICS


def _probability(name: str, inputs: Inputs) -> float:
    section = inputs.sections[name]
    answer = probability(section.answer_loss)
    if name in PARAPHRASED:
        return float(np.mean(answer))
    return float(np.mean(normalised_probability(answer, np.exp(-section.wrong_loss))))


def _rouge(name: str, inputs: Inputs) -> float:
    section = inputs.sections[name]
    return float(np.mean(rouge_l_recall(section.references, section.generations)))


def _truth_ratio(name: str, inputs: Inputs) -> float:
    aggregate = forget_truth_ratio if name == "forget" else utility_truth_ratio
    return aggregate(_ratios(inputs.sections[name]))


def _against_retain(statistic: Callable[..., float], inputs: Inputs) -> float:
    return statistic(_ratios(inputs.sections["forget"]), _ratios(inputs.retain_forget))


def _memorization(score: Callable[..., np.ndarray], inputs: Inputs) -> float:
    return float(np.mean(score(inputs.sections["forget"].hits)))


def _ratios(section: Section) -> np.ndarray:
    return truth_ratio(section.correct_loss, section.wrong_loss)


_BY_SECTION = {"probability": _probability, "rouge": _rouge, "truth_ratio": _truth_ratio}

METRICS: dict[str, Callable[[Inputs], float]] = {
    "forget_quality": partial(_against_retain, forget_quality),
    "forget_quality_d": partial(_against_retain, forget_quality_d),
    **{f"{name}_{what}": partial(metric, name) for name in SECTIONS for what, metric in _BY_SECTION.items()},
    "model_utility": lambda inputs: model_utility(inputs.values),
    "exact_memorization": partial(_memorization, exact_memorization),
    "extraction_strength": partial(_memorization, extraction_strength),
}


def evaluate(samples: pd.DataFrame, retain_samples: pd.DataFrame) -> dict[str, float]:
    """Every metric in `METRICS`, by name.

    samples: the model's evidence, a row per section x index x candidate; retain_samples: the retain model's, of which
    only the forget section is read (a retain model is compared with itself: quality 1, D 0). Row order does not matter.
    Raises BaldroError, naming section, index and candidate, on anything missing, repeated, NaN, or when the two frames
    did not score the same forget rows.
    """
    sections = read_evidence(samples, where="samples")
    retain_forget = read_evidence(retain_samples, where="retain_samples", sections=("forget",))["forget"]
    check_same_rows(sections["forget"], retain_forget)
    values: dict[str, float] = {}
    for name, metric in METRICS.items():
        values[name] = metric(Inputs(sections=sections, retain_forget=retain_forget, values=values))
    return values


def truth_ratios(samples: pd.DataFrame, *, section: str = "forget") -> np.ndarray:
    """Per-sample truth ratios of one section of an evidence frame, ordered by index: (N,), for intervals of D.

    Raises BaldroError as `evaluate` does, and on an unknown section.
    """
    if section not in SECTIONS:
        raise unknown("section", section, SECTIONS)
    return _ratios(read_evidence(samples, where="samples", sections=(section,))[section])
