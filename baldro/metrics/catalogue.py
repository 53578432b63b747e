"""The metrics of the benchmarks here: what each number means, its direction, range and unit, where it comes from and is shown."""

from functools import partial

import numpy as np

from baldro.benchmarks import KINDS
from baldro.metrics.definitions import (
    RAW_RATIOS,
    against_retain,
    leak,
    mean_of,
    mean_probability,
    mean_truth_ratio,
    membership,
    memorised,
    utility,
)
from baldro.metrics.forget_quality import forget_quality, forget_quality_d
from baldro.metrics.intervals import of_auc, of_distance, of_leak, of_mean, of_utility
from baldro.metrics.metric import (
    COMPARISON,
    EFFECT,
    MEMORY,
    SECOND,
    SENTENCE,
    STRENGTH,
    TRADEOFF_X,
    TRADEOFF_Y,
    Distribution,
    Metric,
    Paired,
    register,
)
from baldro.metrics.utility import PARTS
from baldro.stats.relabelled import distances, utilities

TOFU = "Maini et al. 2024, arXiv 2401.06121"
MUSE = "Shi et al. 2024, arXiv 2407.06460"

MAIN_COLUMNS = {name: kind.columns for name, kind in KINDS.items()}
"""Kind of benchmark -> the columns of its main table; metrics that say MAIN of themselves stand after them."""
_OPTIONS = ("real_authors", "world_facts")
"""Sections of which an answer's probability is its share among options."""
_NAMES = {
    "forget": ("forget", "F"),
    "retain": ("retain", "R"),
    "real_authors": ("real authors", "RA"),
    "world_facts": ("world facts", "WF"),
}


def _paired_mean(name: str) -> Paired:
    """The mean of a metric's own values per sample."""
    return Paired(values=((name,),))


_PROBABILITIES = {
    "forget": {
        "paired": _paired_mean("forget_probability"),
        "shown": {COMPARISON: 4, MEMORY: 1},
        "distribution": Distribution(
            axis="probability of the true answer",
            place=1,
            text="Length-normalised probability of the true answer, exp of minus the mean token loss: a target that memorised "
            "stands at the right, the retain model at the left.",
        ),
    },
    "retain": {"paired": _paired_mean("retain_probability"), "shown": {COMPARISON: 5}},
}


def _of_sections() -> list[Metric]:
    found = []
    for section, (words, code) in _NAMES.items():
        better = "down" if section == "forget" else "up"
        option = " among its options" if section in _OPTIONS else ""
        found += [
            Metric(
                name=f"{section}_probability", define=partial(mean_probability, section), source=f'{TOFU}, "Probability"',
                label=f"{words} probability{option}", short=f"{code}-P", better=better, interval=of_mean, **_PROBABILITIES.get(section, {}),
            ),
            Metric(
                name=f"{section}_rouge", define=partial(mean_of, section, "rougeL_recall"), source=f'{TOFU}, "ROUGE"',
                label=f"{words} ROUGE-L recall", short=f"{code}-R", better=better, interval=of_mean,
                shown={MEMORY: 3} if section == "forget" else {},
            ),
            Metric(
                name=f"{section}_truth_ratio", define=partial(mean_truth_ratio, section), source=f'{TOFU}, "Truth Ratio"',
                label=f"{words} truth ratio", short=f"{code}-TR", better="up", interval=of_mean,
            ),
        ]  # fmt: skip
    return found


def _further_rouges() -> list[Metric]:
    kinds = {"rouge1_recall": "ROUGE-1 recall", "rouge1_f1": "ROUGE-1 F1", "rougeL_f1": "ROUGE-L F1"}
    return [
        Metric(
            name=f"{section}_{kind}", define=partial(mean_of, section, kind), interval=of_mean,
            label=f"{words} {told}", short=f"{code}-{told.replace('ROUGE-', 'R').replace(' recall', 'r').replace(' F1', 'f')}",
            better="down" if section == "forget" else "up", source="Lin 2004 (ROUGE)",
        )
        for section, (words, code) in _NAMES.items()
        for kind, told in kinds.items()
    ]  # fmt: skip


def _attacks() -> list[Metric]:
    sources = {
        "loss": ("loss", "Yeom et al. 2018, arXiv 1709.01604"),
        "zlib": ("zlib", "Carlini et al. 2021, arXiv 2012.07805"),
        "min_k": ("min-k", "Shi et al. 2024, arXiv 2310.16789"),
        "min_k_plus_plus": ("min-k++", "Zhang et al. 2024, arXiv 2404.02936"),
        "gradnorm": ("gradient norm", "Wang et al. 2024, arXiv 2402.17012"),
        "reference": ("reference", "Carlini et al. 2021, arXiv 2012.07805; the reference is the retain model"),
    }
    return [
        Metric(
            name=f"mia_{name}", define=partial(membership, name), interval=of_auc, shown={SECOND: 0},
            retain_itself=0.5 if name == "reference" else None, label=f"membership AUC, {told}",
            short=f"AUC {told.replace('gradient norm', 'grad').replace('reference', 'ref')}", better="", source=source,
        )
        for name, (told, source) in sources.items()
    ]  # fmt: skip


def _said(section: str, words: str, code: str) -> list[Metric]:
    """Repetition and length of a section's generations."""
    return [
        Metric(
            name=f"{section}_repetition", define=partial(mean_of, section, "repetition"), interval=of_mean, shown={SECOND: 0},
            label=f"repeated 4-grams, {words}", short=f"{code}-Rep", better="down",
            source="Welleck et al. 2019, arXiv 1908.04319",
        ),
        Metric(
            name=f"{section}_length", define=partial(mean_of, section, "length"), interval=of_mean, high=np.inf, shown={SECOND: 0},
            label=f"words of a generation, {words}", short=f"{code}-Len", unit="words",
            source="ours: words between white space",
        ),
    ]  # fmt: skip


def _muse() -> list[Metric]:
    return [
        Metric(
            name=name, define=partial(mean_of, section, "rougeL_f1"), interval=of_mean, label=label, short=short,
            better=better, source=MUSE, paired=_paired_mean(name),
            shown={COMPARISON: place, SENTENCE: place, EFFECT: place, STRENGTH: place, **memory}, distribution=drawn,
        )
        for name, section, label, short, better, place, memory, drawn in (
            ("knowmem_forget", "forget_knowmem", "knowledge memorisation, forget", "KM-F", "down", 7, {MEMORY: 5}, Distribution(
                axis="knowledge memorisation (ROUGE-L)", place=4, text="How much of the right answer the model gives.")),
            ("verbmem_forget", "verbmem", "verbatim memorisation, forget", "VM-F", "down", 6, {MEMORY: 4}, Distribution(
                axis="verbatim memorisation (ROUGE-L)", place=3, text="How much of a passage the model continues word for word.")),
            ("knowmem_retain", "retain_knowmem", "knowledge memorisation, retain", "KM-R", "up", 8, {}, None),
        )
    ]  # fmt: skip


def _distances(halves, retain):
    """Of the mean over seeds of D to the retain model's truth ratios."""
    ((robust, base),) = halves
    return distances(robust[0], base[0], retain)


_UTILITY_PARTS = tuple(PARTS[at : at + 3] for at in range(0, len(PARTS), 3))
"""The nine parts of model utility: those of one section are of the same samples."""

register(
    Metric(
        name="forget_quality", define=partial(against_retain, forget_quality), p_value=True,
        statistic_behind="forget_quality_d", retain_itself=1.0, samples=RAW_RATIOS, shown={STRENGTH: 1, TRADEOFF_Y: 1},
        label="forget quality (p)", short="FQ", better="up", source=f'{TOFU}, "Forget Quality"',
    ),
    Metric(
        name="forget_quality_d", define=partial(against_retain, forget_quality_d), interval=of_distance,
        retain_itself=0.0, samples=RAW_RATIOS,
        paired=Paired(values=((RAW_RATIOS,),), differences=_distances, retain=True),
        shown={COMPARISON: 1, SENTENCE: 1, EFFECT: 1, STRENGTH: 2},
        distribution=Distribution(
            axis="truth ratio (log scale)", place=2, values=RAW_RATIOS, log=True,
            text="Truth ratio, wrong answers' likelihood over the paraphrased right one's: D, the largest vertical distance, "
            "is the statistic behind forget quality.",
        ),
        label="KS distance D to Retain", short="D", better="down", source=f'{TOFU}, the statistic behind "Forget Quality"',
    ),
    Metric(
        name="model_utility", define=utility, interval=of_utility,
        paired=Paired(values=_UTILITY_PARTS, differences=lambda halves, _: utilities(halves)),
        shown={COMPARISON: 2, SENTENCE: 2, EFFECT: 2, STRENGTH: 3, TRADEOFF_X: 1},
        label="model utility", short="MU", better="up", source=f'{TOFU}, "Model Utility"',
    ),
    *_muse(),
    *_said("verbmem", "verbatim", "VM"),
    Metric(
        name="exact_memorization", define=partial(memorised, "exact_memorization"), interval=of_mean,
        paired=_paired_mean("exact_memorization"), shown={COMPARISON: 3, MEMORY: 2},
        label="exact memorisation", short="EM", better="down", source="Tirumala et al. 2022, arXiv 2205.10770",
    ),
    Metric(
        name="extraction_strength", define=partial(memorised, "extraction_strength"), interval=of_mean, shown={EFFECT: 3},
        label="extraction strength", short="ES", better="down", source="Carlini et al. 2021, arXiv 2012.07805",
    ),
    *_of_sections(),
    *_attacks(),
    Metric(
        name="privleak", define=leak, interval=of_leak, shown={SECOND: 0}, retain_itself=0.0,
        label="PrivLeak (0 is best)", short="PL", better="",
        low=-100.0, high=np.inf, unit="%", source=f'{MUSE}, "Privacy leakage"',
    ),
    Metric(
        name="fluency", define=partial(mean_of, "forget", "clean"), interval=of_mean, shown={SECOND: 0},
        label="fluency", short="Flu", better="up", source="madhurjindal/autonlp-Gibberish-Detector-492513457, class clean",
    ),
    *_said("forget", *_NAMES["forget"]),
    *_said("retain", *_NAMES["retain"]),
    *_further_rouges(),
)  # fmt: skip
