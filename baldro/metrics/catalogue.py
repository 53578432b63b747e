"""The list of all metrics: what each number means, its direction, range and unit, and where it comes from."""

from functools import partial

import numpy as np

from baldro.benchmarks import KINDS
from baldro.metrics.definitions import (
    Metric,
    against_retain,
    leak,
    mean_of,
    mean_probability,
    mean_truth_ratio,
    membership,
    memorised,
    of_kind,
    utility,
)
from baldro.metrics.forget_quality import forget_quality, forget_quality_d

TOFU = "Maini et al. 2024, arXiv 2401.06121"
MUSE = "Shi et al. 2024, arXiv 2407.06460"
WELLECK = "Welleck et al. 2019, arXiv 1908.04319"

_OPTIONS = ("real_authors", "world_facts")
"""Sections of which an answer's probability is its share among options."""
_NAMES = {
    "forget": ("forget", "F"),
    "retain": ("retain", "R"),
    "real_authors": ("real authors", "RA"),
    "world_facts": ("world facts", "WF"),
}


def _of_sections() -> list[Metric]:
    found = []
    for section, (words, code) in _NAMES.items():
        of, better = dict(statistic="mean"), "down" if section == "forget" else "up"
        option = " among its options" if section in _OPTIONS else ""
        found += [
            Metric(
                name=f"{section}_probability", define=partial(mean_probability, section), source=f'{TOFU}, "Probability"',
                label=f"{words} probability{option}", short=f"{code}-P", better=better, **of,
            ),
            Metric(
                name=f"{section}_rouge", define=partial(mean_of, section, "rougeL_recall"), source=f'{TOFU}, "ROUGE"',
                label=f"{words} ROUGE-L recall", short=f"{code}-R", better=better, **of,
            ),
            Metric(
                name=f"{section}_truth_ratio", define=partial(mean_truth_ratio, section), source=f'{TOFU}, "Truth Ratio"',
                label=f"{words} truth ratio", short=f"{code}-TR", better="up", **of,
            ),
        ]  # fmt: skip
    return found


def _further_rouges() -> list[Metric]:
    kinds = {"rouge1_recall": "ROUGE-1 recall", "rouge1_f1": "ROUGE-1 F1", "rougeL_f1": "ROUGE-L F1"}
    return [
        Metric(
            name=f"{section}_{kind}", define=partial(mean_of, section, kind), statistic="mean",
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
            name=f"mia_{name}", define=partial(membership, name), statistic="auc", label=f"membership AUC, {told}",
            short=f"AUC {told.replace('gradient norm', 'grad').replace('reference', 'ref')}", better="", source=source,
        )
        for name, (told, source) in sources.items()
    ]  # fmt: skip


def _collapse() -> list[Metric]:
    found = []
    for section in ("forget", "retain"):
        words, code = _NAMES[section]
        found += [
            Metric(
                name=f"{section}_repetition", define=partial(mean_of, section, "repetition"), statistic="mean",
                label=f"repeated 4-grams, {words}", short=f"{code}-Rep", better="down",
                source=WELLECK,
            ),
            Metric(
                name=f"{section}_length", define=partial(mean_of, section, "length"), statistic="mean", high=np.inf,
                label=f"words of a generation, {words}", short=f"{code}-Len", better="", unit="words",
                source="ours: words between white space",
            ),
        ]  # fmt: skip
    return found


def _muse() -> list[Metric]:
    told = {
        "knowmem_forget": ("forget_knowmem", "knowledge memorisation, forget", "KM-F", "down"),
        "verbmem_forget": ("verbmem", "verbatim memorisation, forget", "VM-F", "down"),
        "knowmem_retain": ("retain_knowmem", "knowledge memorisation, retain", "KM-R", "up"),
    }
    found = [
        Metric(
            name=name, define=partial(mean_of, section, "rougeL_f1"), statistic="mean", label=label, short=short,
            better=better, source=MUSE,
        )
        for name, (section, label, short, better) in told.items()
    ]  # fmt: skip
    for name, words in (("repetition", "repeated 4-grams"), ("length", "words of a generation")):
        found.append(
            Metric(
                name=f"verbmem_{name}", define=partial(mean_of, "verbmem", name), statistic="mean",
                label=f"{words}, verbatim", short=f"VM-{name[:3].capitalize()}",
                source=WELLECK if name == "repetition" else "ours: words between white space",
                better="down" if name == "repetition" else "", high=1.0 if name == "repetition" else np.inf,
                unit="" if name == "repetition" else "words",
            )
        )  # fmt: skip
    return found


_ALL = [
    Metric(
        name="forget_quality", define=partial(against_retain, forget_quality), statistic="p",
        label="forget quality (p)", short="FQ", better="up", source=f'{TOFU}, "Forget Quality"',
    ),
    Metric(
        name="forget_quality_d", define=partial(against_retain, forget_quality_d), statistic="distance",
        label="KS distance D to Retain", short="D", better="down", source=f'{TOFU}, the statistic behind "Forget Quality"',
    ),
    Metric(
        name="model_utility", define=utility, statistic="utility",
        label="model utility", short="MU", better="up", source=f'{TOFU}, "Model Utility"',
    ),
    *_muse(),
    Metric(
        name="exact_memorization", define=partial(memorised, "exact_memorization"), statistic="mean",
        label="exact memorisation", short="EM", better="down", source="Tirumala et al. 2022, arXiv 2205.10770",
    ),
    Metric(
        name="extraction_strength", define=partial(memorised, "extraction_strength"), statistic="mean",
        label="extraction strength", short="ES", better="down", source="Carlini et al. 2021, arXiv 2012.07805",
    ),
    *_of_sections(),
    *_attacks(),
    Metric(
        name="privleak", define=leak, statistic="leak", label="PrivLeak (0 is best)", short="PL", better="",
        low=-100.0, high=np.inf, unit="%", source=f'{MUSE}, "Privacy leakage"',
    ),
    Metric(
        name="fluency", define=partial(mean_of, "forget", "clean"), statistic="mean",
        label="fluency", short="Flu", better="up", source="madhurjindal/autonlp-Gibberish-Detector-492513457, class clean",
    ),
    *_collapse(),
    *_further_rouges(),
]  # fmt: skip

_OWN = [of_kind(own) for kind in KINDS.values() for own in kind.own_metrics]
METRICS: dict[str, Metric] = {metric.name: metric for metric in (*_ALL, *_OWN)}
"""Every metric by name, in the order of tables: those here, then those that a kind of benchmark brings."""
