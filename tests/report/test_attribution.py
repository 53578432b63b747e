"""What each crossed factor changes: numbers against pandas, the table in every format, the figure, the page and the verbs."""

import json
import re
import struct
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from refusals import refused
from scipy import stats

from baldro.analysis.attribution import CHANGES, DOUBTFUL, NOT_SHOWN, attribute, attribution_frame
from baldro.cli import main
from baldro.config import load
from baldro.report import read_frame, tables_text
from baldro.report.effects import attribution_cautions, attribution_findings, attribution_tables
from baldro.report.figures.attribution import draw_attribution
from baldro.report.figures.canvas import house_style
from baldro.report.formats import html, markdown
from baldro.report.latex import latex
from baldro.report.style import signed
from baldro.runs import Run
from baldro.stats import holm

FACTORS = ["dv_direction", "retain_normalisation", "robust_scope", "precision"]
AXES = {
    "dv_direction": ("hard", "easy"),
    "retain_normalisation": ("token-mean", "token-sum"),
    "robust_scope": ("batch", "micro-batch"),
    "precision": ("bf16", "bf16-only"),
}
TRUTH = {"dv_direction": 0.1, "retain_normalisation": -0.04, "robust_scope": 0.0, "precision": 0.02}
"""What the second level adds to D."""


def crossed(*, seeds=(0, 1, 2), splits=("forget05",), objectives=("npo", "simnpo"), axes=AXES) -> pd.DataFrame:
    """A frame of runs whose metrics are made of the effects in TRUTH, an offset a seed, and a little noise; no files."""
    runs = {}
    names = {"benchmark": "tofu", "model": "llama-2-7b-chat"}
    for split, objective in product(splits, ("original", "retain", *objectives)):
        for *levels, seed in product(*axes.values(), seeds):
            given = dict(zip(axes, levels, strict=True))
            run = Run.of(**names, split=split, objective=objective, variant="baldro-dv", seed=seed, **given)
            runs[run.id] = {"id": run.id, **run.asdict()}
    frame = read_frame(runs=list(runs.values()), results=Path("nowhere"), allow_missing=True)
    random, at = np.random.default_rng(0), list(frame.columns).index("seconds")
    for name, sign in {
        "extraction_strength": 1,
        "model_utility": -0.1,
        "forget_quality_d": 1,
        "forget_quality": 0.1,
    }.items():
        gain = sum(TRUTH[factor] * frame[factor].eq(AXES[factor][1]).astype(float) for factor in TRUTH)
        value = 0.4 + sign * gain + 0.05 * frame["seed"].fillna(0).astype(float)
        frame.insert(at, name, value + random.normal(0, 0.002, size=len(frame)))
    return frame.assign(status="ok", reason=None)


def test_effects_are_differences_of_paired_means():
    frame = crossed()
    effects = attribute(frame, FACTORS)
    assert {e.metric for e in effects} == {"forget_quality_d", "model_utility", "extraction_strength"}
    methods = frame[frame["objective"].isin(["npo", "simnpo"])]
    mains = [e for e in effects if e.kind == "main"]
    assert len(mains) == 4 * 2 * 3
    for e in mains:
        ((name, level, reference),) = e.steps
        assert (reference, level) == AXES[name]
        own = methods[methods["objective"] == e.objective]
        means = own.groupby(["seed", name])[e.metric].mean().unstack()
        test = stats.ttest_rel(means[level], means[reference])
        interval = test.confidence_interval(0.95)
        d = e.effect.difference
        assert (d.mean, d.low, d.high) == pytest.approx(((means[level] - means[reference]).mean(), *interval))
        assert e.effect.p == pytest.approx(test.pvalue) and (d.n, e.effect.present, e.runs) == (3, 24, 48)
        if e.metric == "forget_quality_d":
            assert d.mean == pytest.approx(TRUTH[name], abs=0.003)


def test_total_and_interactions():
    frame = crossed()
    own = frame[(frame["objective"] == "npo")].set_index(["seed", *FACTORS])["forget_quality_d"]
    first, last = ([axis[place] for axis in AXES.values()] for place in (0, 1))
    effects = [e for e in attribute(frame, FACTORS, ["forget_quality_d"]) if e.objective == "npo"]
    (everything,) = [e for e in effects if e.kind == "total"]
    assert everything.effect.difference.mean == pytest.approx(
        np.mean([own[s, *last] - own[s, *first] for s in range(3)])
    )
    interactions = [e for e in effects if e.kind == "interaction"]
    assert len(interactions) == 6
    (one,) = [e for e in interactions if [name for name, _, _ in e.steps] == ["dv_direction", "precision"]]
    means = own.groupby(["dv_direction", "precision"]).mean().unstack()
    wanted = (
        means.loc["easy", "bf16-only"]
        - means.loc["hard", "bf16-only"]
        - means.loc["easy", "bf16"]
        + means.loc["hard", "bf16"]
    )
    assert one.effect.difference.mean == pytest.approx(wanted) and one.label == "released sign with bf16 parameters"


def test_p_is_adjusted_over_all_effects_on_a_metric():
    frame = crossed()
    table = attribution_frame(attribute(frame, FACTORS))
    for (_, apart), own in table.groupby(["metric", table["kind"] == "interaction"]):
        assert len(own) == (12 if apart else 10)
        np.testing.assert_allclose(own["p_holm"], holm(own["p"]))
    shown = table[(table["metric"] == "forget_quality_d") & (table["kind"] != "interaction")]
    assert (shown["verdict"] == CHANGES).eq(shown["p_holm"] < 0.05).all()
    assert (shown["verdict"] == NOT_SHOWN).eq(shown["p"] >= 0.05).all()
    assert set(shown["verdict"]) >= {CHANGES, NOT_SHOWN} and set(table["verdict"]) <= {CHANGES, NOT_SHOWN, DOUBTFUL}


def test_better_follows_the_metric():
    frame = crossed()
    effects = attribute(frame, FACTORS, ["forget_quality_d"])
    told = {e.steps[0][0]: e.direction for e in effects if e.kind == "main" and e.objective == "npo"}
    assert told["dv_direction"] == "worse" and told["retain_normalisation"] == "better"
    utility = attribute(frame.assign(model_utility=frame["forget_quality_d"]), FACTORS, ["model_utility"])
    assert next(e for e in utility if e.label == "released sign").direction == "better"


def test_every_format_holds_the_same_table():
    frame = crossed(splits=("forget05", "forget10"))
    effects = attribute(frame, FACTORS)
    (table,) = attribution_tables(effects)
    assert table.stem == "tofu--llama-2-7b-chat--attribution" and table.splits == ("forget05", "forget10")
    assert [row.label for row in table.rows[:5]] == [
        "NPO + BalDRO-DV: released sign",
        "NPO + BalDRO-DV: token sum",
        "NPO + BalDRO-DV: micro-batch",
        "NPO + BalDRO-DV: bf16 parameters",
        "NPO + BalDRO-DV: all of these at once",
    ]
    assert (
        "released sign against paper sign; token sum against token mean; micro-batch against whole batch"
        in table.caption
    )
    assert "From 192 runs." in table.caption and "over 3 seeds" in table.caption
    first = table.rows[0].cells["forget05", "forget_quality_d"]
    wanted = f"{first.mean:+.3f}", f"± {(first.high - first.low) / 2:.3f}"
    attribution = {"factors": FACTORS}
    terminal = tables_text(frame, {"rule": "all"}, attribution=attribution, width=200)
    for text in (markdown(table), latex(table), html(table), terminal[terminal.index("what each difference") :]):
        plain = re.sub(r"<[^>]+>|\*|\\textbf|[{}]", "", text).replace(r"$\pm$", "±")
        assert "NPO + BalDRO-DV: released sign" in plain and "What differs" in plain
        assert " ".join(wanted) in re.sub(r" +", " ", plain), text
    assert first.best and "**" in markdown(table)


def test_missing_runs_take_their_pairs_and_say_so():
    frame = crossed()
    npo = [row["id"] for row in frame.to_dict("records") if row["objective"] == "npo"]
    frame.loc[frame["id"].isin(npo[:2]), ["status", "forget_quality_d", "model_utility"]] = ["failed", np.nan, np.nan]
    (table,) = attribution_tables(attribute(frame, FACTORS))
    notes = [note for note in table.footnotes if "released sign" in note]
    assert notes == ["NPO + BalDRO-DV: released sign, forget05: 2 of 24 pairs of runs lack a result."]
    simnpo = frame["objective"] == "simnpo"
    frame.loc[simnpo, "status"] = "missing"
    effects = attribute(frame, FACTORS)
    (table,) = attribution_tables(effects)
    assert table.rows[5].instead == {"forget05": "no pair of runs has results (24 missing)"}
    assert "no pair of runs has results" in markdown(table) + latex(table)
    assert any(
        "no pair of runs has results for SimNPO + BalDRO-DV" in text
        for own in attribution_findings(effects).values()
        for text in own
    )


def test_one_seed_has_differences_without_intervals():
    frame = crossed(seeds=(4,))
    effects = attribute(frame, FACTORS)
    (table,) = attribution_tables(effects)
    assert "one seed: no interval" in table.caption and "±" not in markdown(table) and "Bold" not in table.caption
    assert {e.verdict for e in effects} == {"one seed: no interval can be given"}
    assert all(
        text.count("one seed: no interval can be given for")
        for own in attribution_findings(effects).values()
        for text in own
    )
    assert not attribution_cautions(effects)


def test_sentences_say_what_changes_and_what_does_not():
    frame = crossed()
    effects = attribute(frame, FACTORS, ["forget_quality_d"])
    ((heading, texts),) = attribution_findings(effects).items()
    assert heading == "KS distance D to Retain, lower is better" and len(texts) == 5
    by_name = dict(text.split(": ", 1) for text in texts)
    npo = next(e for e in effects if e.objective == "npo" and e.label == "released sign")
    d = npo.effect.difference
    assert by_name["released sign against paper sign"].startswith(
        f"worse for NPO + BalDRO-DV ({d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]) and SimNPO + BalDRO-DV"
    )
    assert by_name["token sum against token mean"].startswith("better for NPO + BalDRO-DV")
    assert by_name["micro-batch against whole batch"].startswith("no significant change for NPO")
    (caution,) = attribution_cautions(effects)
    assert "of these 10 intervals" in caution


def test_three_levels_have_no_total():
    axes = {"retain_normalisation": ("token-sum", "token-mean", "sample-mean"), "precision": ("bf16", "bf16-only")}
    frame = crossed(axes=axes, objectives=("npo",))
    effects = attribute(frame, list(axes), ["forget_quality_d"])
    assert [e.label for e in effects if e.kind == "main"] == ["token sum", "sample mean", "bf16 parameters"]
    assert not [e for e in effects if e.kind == "total"] and len([e for e in effects if e.kind == "interaction"]) == 2


def test_an_unnamed_level_is_its_field_and_value():
    frame = crossed(axes={"lr": (1e-5, 2e-5), "precision": ("fp32", "bf16-only")}, objectives=("npo",))
    labels = [e.label for e in attribute(frame, ["lr", "precision"], ["model_utility"]) if e.kind == "main"]
    assert labels == ["lr=2e-05", "bf16 parameters"]


def test_a_metric_that_no_run_has_is_refused():
    frame = crossed(seeds=(0,), objectives=("npo",))
    with refused("unknown-metric", "utility", "attribution"):
        attribute(frame, FACTORS, ["utility"])


@pytest.mark.parametrize(
    ("value", "text"), [(0.0004, "0.000"), (-0.0004, "0.000"), (0.02, "+0.020"), (-0.02, "-0.020")]
)
def test_signs(value, text):
    assert signed(value, "model_utility") == text


def test_from_a_config_to_page_table_figure_and_summary(study, tmp_path, capsys):
    """`baldro report` and `baldro summary`, on made results of a config with the key."""
    axes = {"dv_direction": ["hard", "easy"], "precision": ["bf16", "bf16-only"]}
    grid = {"benchmark": "fictional", "model": "tiny", "split": ["forget05"], "objective": ["npo", "satimp"]}
    grid |= {"variant": "baldro-dv", "seed": [0, 1, 2], **axes}
    config = {"name": "audit", "grid": grid, "attribution": {"factors": list(axes), "metrics": ["forget_quality_d"]}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    assert load(tmp_path / "c.yaml").attribution == config["attribution"]
    for levels in product(*axes.values()):
        given = dict(zip(axes, levels, strict=True))
        study(
            benchmark="fictional", model="tiny", splits=("forget05",), objectives=("npo", "satimp"), variants=("baldro-dv",),
            betas=(2,), samples=40, **given,
        )  # fmt: skip
    options = ["--config", str(tmp_path / "c.yaml"), "--results", str(tmp_path / "results")]
    assert main(["report", *options]) == 0
    folder = tmp_path / "results" / "reports" / "audit"
    stem = "fictional--tiny--attribution"
    table = pd.read_csv(folder / "tables" / f"{stem}.csv")
    assert table["kind"].value_counts().to_dict() == {"main": 4, "total": 2, "interaction": 2}
    assert all((folder / "tables" / f"{stem}.{kind}").is_file() for kind in ("md", "tex"))
    png = (folder / "figures" / f"{stem}.png").read_bytes()
    assert min(struct.unpack(">II", png[16:24])) > 300 and (folder / "figures" / f"{stem}.pdf").is_file()
    page = (folder / "report.html").read_text()
    section = page[page.index('id="attribution"') : page.index('id="tables"')]
    assert "What each difference changes" in section and section.count("<img") == 1 and section.count("<table>") == 1
    assert "released sign against paper sign: " in section and "data:image/png" in section
    assert json.loads((folder / "report.json").read_text())["attribution"] == config["attribution"]
    capsys.readouterr()
    assert main(["summary", *options]) == 0
    assert "NPO + BalDRO-DV: released sign" in capsys.readouterr().out


def test_the_figure_shows_the_effects_of_the_table():
    effects = attribute(crossed(splits=("forget05", "forget10")), FACTORS)
    with house_style():
        figure = draw_attribution(effects).figure
        figure.draw_without_rendering()
    assert len(figure.axes) == 2 * 3
    ticks = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert (
        ticks[0] == "released sign\n(against paper sign)" and ticks[-1] == "all of these\nat once" and len(ticks) == 5
    )
    for panel, (split, name) in zip(
        figure.axes,
        product(("forget05", "forget10"), ("forget_quality_d", "model_utility", "extraction_strength")),
        strict=True,
    ):
        own = [e for e in effects if e.split == split and e.metric == name and e.kind != "interaction"]
        points = [line for line in panel.lines if len(line.get_xdata()) == 1 and line.get_marker() != "None"]
        bars = [line for line in panel.lines if len(line.get_xdata()) == 2 and line.get_solid_capstyle() == "round"]
        assert sorted(line.get_xdata()[0] for line in points) == sorted(e.effect.difference.mean for e in own)
        ends = sorted((e.effect.difference.low, e.effect.difference.high) for e in own)
        assert sorted(tuple(bar.get_xdata()) for bar in bars) == ends
        for line in points:
            e = next(e for e in own if e.effect.difference.mean == line.get_xdata()[0])
            assert (line.get_markerfacecolor() == "white") == (e.verdict != CHANGES)
        assert len({(line.get_color(), line.get_marker()) for line in points}) == 2
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["NPO + BalDRO-DV", "SimNPO + BalDRO-DV"]
