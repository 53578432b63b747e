"""Tables: the layout, the numbers against pandas, and each format."""

import re

import numpy as np
import pandas as pd
import pytest
from refusals import refused
from scipy import stats

from baldro.metrics import MAIN_COLUMNS
from baldro.report import tables_text
from baldro.report.formats import html, markdown
from baldro.report.latex import latex, latex_escape
from baldro.report.style import number
from baldro.report.tables import build_tables, collapse_tables, published_numbers, tidy

from .conftest import frame_of

ALL = {"rule": "all"}
BEST = {"rule": "best", "metric": "forget_quality"}
ALONE = {"benchmark": "fictional", "model": "tiny_model", "splits": ("forget10",)}


def test_rows_stand_in_the_order_of_the_paper():
    (table,) = build_tables(frame_of(objectives=("graddiff", "simnpo", "npo"), betas=(10, 5), seeds=(0,)), ALL)
    assert [row.label for row in table.rows[:6]] == [
        "Original",
        "Retain",
        "NPO",
        "NPO + BalDRO-G",
        "NPO + BalDRO-DV (beta_dv 5)",
        "NPO + BalDRO-DV (beta_dv 10)",
    ]
    assert [row.label for row in table.rows[6::4]] == ["SimNPO", "GradDiff"]
    assert table.splits == ("forget05", "forget10") and table.metrics == MAIN_COLUMNS["tofu"]


def test_a_config_says_which_columns_there_are():
    frame, asked = frame_of(**ALONE), ["model_utility", "fluency", "lm_eval_gsm8k", "forget_quality_d"]
    frame.insert(list(frame).index("model_utility") + 1, "lm_eval_gsm8k", 0.25)
    (table,) = build_tables(frame, ALL, asked)
    assert table.metrics == ("model_utility", "lm_eval_gsm8k", "forget_quality_d") and "gsm8k ↑" in markdown(table)
    assert any("no classifier was given" in note for note in table.footnotes), "what is absent is said"
    with refused("unknown-metric", "privleak"):
        build_tables(frame, ALL, ["privleak"])
    frame["status"] = "failed"
    assert build_tables(frame, ALL, asked), "a report of failures alone"


def test_means_and_intervals_are_those_of_scipy():
    frame = frame_of()
    (table,) = build_tables(frame, ALL)
    numbers = tidy(table)
    assert len(numbers) == len(table.rows) * 2 * len(MAIN_COLUMNS["tofu"])
    for _, line in numbers.iterrows():
        own = frame[(frame["split"] == line["split"]) & (frame["objective"] == line["objective"])]
        own = own[own["variant"] == line["variant"]]
        if line["hyperparameters"]:
            own = own[own["dv_beta"] == float(line["hyperparameters"].split()[-1])]
        values = own[line["metric"]].to_numpy(dtype=float)
        assert line["mean"] == pytest.approx(values.mean(), rel=1e-12) and line["runs"] == len(values)
        name, one = line["metric"], len(values) == 1
        over = {True: "samples", False: "seeds"} if name != "forget_quality" else {True: None, False: "range"}
        assert line["over"] == over[one] or (pd.isna(line["over"]) and over[one] is None)
        if one and name == "forget_quality":
            assert line[["low", "high"]].isna().all()
        elif one:
            assert (line["low"], line["high"]) == (own[f"{name}_low"].item(), own[f"{name}_high"].item())
        elif name == "forget_quality":  # a p-value: its range over seeds
            assert (line["low"], line["high"]) == (values.min(), values.max())
        else:
            interval = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
            np.testing.assert_allclose(line[["low", "high"]].to_numpy(dtype=float), interval, rtol=1e-9, atol=1e-12)


def test_published_numbers_stand_beside_ours():
    frame = frame_of(splits=("forget01", "forget10"), seeds=(0,))
    (table,) = build_tables(frame, ALL)
    assert table.published["forget01", "npo", "baldro-dv", "forget_quality"] == 0.99
    assert table.has_published("forget01", "model_utility")
    assert not table.has_published("forget01", "forget_quality_d")
    assert not table.has_published("forget10", "model_utility")
    numbers = tidy(table)
    line = numbers[(numbers["method"] == "Retain") & (numbers["metric"] == "model_utility")].set_index("split")
    assert line.loc["forget01", "published"] == 0.6268 and np.isnan(line.loc["forget10", "published"])
    for text in (markdown(table), latex(table), html(table), tables_text(frame, ALL, width=250)):
        assert "published" in text.lower()
    assert "transcribed" in table.caption


def test_published_numbers_of_wmdp_are_shares_of_its_own_metrics():
    found = published_numbers("wmdp", "zephyr-7b")
    assert (
        found["bio-cyber", "rmu", "base", "wmdp_bio"] == 0.312
        and found["bio-cyber", "original", "base", "mmlu"] == 0.581
    )
    assert {name for *_, name in found} <= set(MAIN_COLUMNS["multiple_choice"]) and max(found.values()) < 1


def test_no_published_columns_for_other_models():
    (table,) = build_tables(frame_of(**ALONE), ALL)
    assert not table.published and "published" not in (markdown(table) + latex(table) + html(table)).lower()


def test_a_table_per_benchmark_and_model():
    one, two = frame_of(seeds=(0,)), frame_of(**ALONE, seeds=(0,))
    tables = build_tables(pd.concat([one, two], ignore_index=True), ALL)
    assert [(t.benchmark, t.model) for t in tables] == [("tofu", "llama-2-7b-chat"), ("fictional", "tiny_model")]
    assert tables[1].splits == ("forget10",)


def test_failed_runs_say_so_and_the_rest_goes_on():
    # rows: original, retain, three seeds of NPO, three of NPO + BalDRO-G, ...
    lost = [(2, "loss is NaN at step 12"), *((at, "out of memory | 100 %_") for at in (5, 6, 7))]
    frame = frame_of(lost=lost, **ALONE)
    (table,) = build_tables(frame, ALL)
    npo, group = table.rows[2], table.rows[3]
    assert npo.cells["forget10", "model_utility"].n == 2 and not npo.instead
    assert group.instead == {"forget10": "failed: out of memory | 100 %_"} and not group.cells
    assert "NPO, forget10: the mean is of 2 of 3 seeds (seed 0 failed: loss is NaN at step 12)." in table.footnotes
    assert r"failed: out of memory \| 100 %\_" in markdown(table)
    assert r"failed: out of memory \textbar{} 100 \%\_" in latex(table)
    assert "failed: out of memory | 100 %_</td>" in html(table)
    assert "failed: out of memory" in " ".join(tables_text(frame, ALL, width=160).split())
    numbers = tidy(table)
    assert set(numbers.loc[numbers["variant"] == "baldro-g", "outcome"]) == {group.instead["forget10"], "ok"}
    assert "(4 failed)" in table.caption


def test_missing_runs_say_so():
    frame = frame_of(lost=[(0, None), (2, None)], **ALONE, seeds=(0,))
    (table,) = build_tables(frame, ALL)
    assert table.rows[0].instead == table.rows[2].instead == {"forget10": "missing: no result; see its log"}


def test_a_table_of_nothing_but_failures():
    frame = frame_of(lost=[(at, "no disk") for at in range(len(frame_of(**ALONE)))], **ALONE)
    (table,) = build_tables(frame, ALL)
    assert all(row.instead for row in table.rows)
    assert "no disk" in markdown(table) + latex(table) + html(table)


def test_best_has_one_row_a_method_and_names_the_choice():
    frame = frame_of()
    (table,) = build_tables(frame, BEST)
    assert [row.label for row in table.rows[2:5]] == ["NPO", "NPO + BalDRO-G", "NPO + BalDRO-DV"]
    robust = frame[frame["variant"] == "baldro-dv"].astype({"dv_beta": float})
    means = robust.groupby(["split", "objective", "dv_beta"])["forget_quality"].mean()
    beta = means.loc["forget05", "npo"].idxmax()
    assert f"NPO + BalDRO-DV, forget05: the rule chose beta_dv {beta:g}." in table.footnotes
    assert table.rows[4].cells["forget05", "forget_quality"].mean == pytest.approx(means.loc["forget05", "npo", beta])


def test_no_run_meets_the_rule():
    rule = {**BEST, "subject_to": {"metric": "model_utility", "at_least": 1.5, "of": "original"}}
    (table,) = build_tables(frame_of(**ALONE), rule)
    assert {row.instead["forget10"] for row in table.rows[2:]} == {"no run meets the rule"}
    assert "no run meets the rule" in markdown(table)


def test_bold_is_the_best_and_what_intervals_cannot_tell_from_it():
    (table,) = build_tables(frame_of(), ALL)
    for split in table.splits:
        for name, sign in {"forget_quality_d": -1, "model_utility": 1}.items():
            cells = [row.cells[split, name] for row in table.rows[2:]]
            best = max(cells, key=lambda cell: sign * cell.mean)
            for cell in cells:
                assert cell.best == (best.low <= cell.mean <= best.high)
        assert sum(row.cells[split, "forget_quality"].best for row in table.rows[2:]) == 1
    assert not any(cell.best for row in table.rows[:2] for cell in row.cells.values())


def test_one_run_is_bold_unless_its_interval_over_samples_leaves_the_best_out():
    frame = frame_of(seeds=(0,), splits=("forget10",))
    (table,) = build_tables(frame, ALL)
    cells = [row.cells["forget10", "forget_quality_d"] for row in table.rows[2:]]
    best = min(cells, key=lambda cell: cell.mean)
    for cell in cells:
        assert cell.best == (best.low <= cell.mean <= best.high)
    assert "not distinguishable from the best one" in table.caption
    bare = frame.drop(columns=[name for name in frame if name.endswith(("_low", "_high"))])
    (single,) = build_tables(bare, ALL)
    assert sum(row.cells["forget10", "forget_quality_d"].best for row in single.rows[2:]) == 1
    assert "no interval recorded" in single.caption


def test_every_format_prints_value_interval_and_seeds():
    frame = frame_of(splits=("forget10",), objectives=("npo",))
    (table,) = build_tables(frame, ALL)
    assert "mean of 3 seeds ± half its 95% t interval over seeds, or its ends where" in table.caption
    assert "p: mean (range over seeds)" in table.caption
    assert "One run: value [its 95% interval over samples, taken as independent" in table.caption
    for text in (markdown(table), latex(table), html(table), tables_text(frame, ALL, width=250)):
        plain = re.sub(r"<[^>]+>|\*\*|\\textbf|\\scriptsize |[{}]", "", text).replace(r"$\pm$", "±")
        original, base = (
            table.rows[0].cells["forget10", "forget_quality_d"],
            table.rows[2].cells["forget10", "model_utility"],
        )
        assert f"{original.mean:.3f} [{original.low:.2f}, {original.high:.2f}]" in plain
        assert f"{base.mean:.3f} ± {(base.high - base.low) / 2:.3f}" in plain
        assert "seeds" in text
    assert (tidy(table)["runs"] == [1] * 12 + [3] * 30).all()


def test_differing_seeds_are_a_column():
    (table,) = build_tables(frame_of(**ALONE), ALL)
    assert table.seeds == {3} and "forget10 seeds" not in markdown(table)
    (table,) = build_tables(frame_of(lost=[(2, "loss is NaN")], **ALONE), ALL)
    assert table.seeds == {2, 3} and "column seeds" in table.caption
    assert markdown(table).startswith("| Method | forget10 seeds |") and "| NPO | 2 |" in markdown(table)


@pytest.mark.parametrize(
    ("benchmark", "model", "knowledge"),
    [("muse-news", "llama-2-7b", 0.6443), ("muse-books", "llama-2-7b-muse-books", 0.4712)],
)
def test_muse_has_its_own_columns_and_published_numbers(benchmark, model, knowledge):
    """The names are those of the paper's experiments, whose tables have its numbers beside ours."""
    frame = frame_of(benchmark=benchmark, model=model, splits=("forget",), objectives=("npo",))
    (table,) = build_tables(frame, ALL)
    assert table.metrics == MAIN_COLUMNS["muse"] and "D of one run" not in " ".join(table.footnotes)
    assert table.published["forget", "original", "base", "knowmem_forget"] == knowledge and len(table.published) == 52
    assert not collapse_tables(frame, ALL)  # PrivLeak alone stands in the main table


def test_membership_and_collapse_is_a_table_of_its_own():
    frame = frame_of(**ALONE, seeds=(0,))
    frame.insert(list(frame.columns).index("seconds"), "mia_min_k", 0.7)
    frame.insert(list(frame.columns).index("seconds"), "forget_length", 41.26)
    (table,) = collapse_tables(frame, ALL)
    assert table.metrics == ("mia_min_k", "forget_length") and table.stem == "fictional--tiny_model--membership"
    assert "membership and collapse" in table.caption and "41.3" in markdown(table) and "41.3" in latex(table)
    assert "Absent from every row: fluency (no classifier was given)." in table.footnotes
    assert not any("fluency" in note for note in build_tables(frame, ALL)[0].footnotes)
    assert set(tidy(table)["metric"]) == {"mia_min_k", "forget_length"}


def test_absent_metrics_are_grouped_by_reason():
    frame = frame_of(splits=("forget05", "forget10"), objectives=("npo",), seeds=(0,))
    reasons = pd.Series(None, index=frame.index, dtype=object)
    reasons[frame["split"] == "forget05"] = (
        '{"model_utility": "no retain split.", "extraction_strength": "no retain split."}'
    )
    reasons[(frame["split"] == "forget10") & (frame["variant"] == "baldro-dv")] = '{"model_utility": "no answers"}'
    (table,) = build_tables(frame.assign(absent=reasons), ALL)
    notes = [note for note in table.footnotes if note.startswith("Absent")]
    assert notes == [
        "Absent from every row of forget05: model utility; extraction strength (no retain split).",
        "Absent from NPO + BalDRO-DV (beta_dv 1), NPO + BalDRO-DV (beta_dv 5) and NPO + BalDRO-DV (beta_dv 10) of "
        "forget10: model utility (no answers).",
    ]


def test_steps_of_d_are_told():
    frame = frame_of(splits=("forget01",), objectives=("npo", "simnpo"), betas=(5,), seeds=(0,), samples=40)
    d = {"original": 0.7, "retain": 0.0}
    of_method = {("npo", "base"): 0.25, ("npo", "baldro-g"): 0.275, ("npo", "baldro-dv"): 0.15}
    of_method |= {("simnpo", "base"): 0.4, ("simnpo", "baldro-g"): 0.35, ("simnpo", "baldro-dv"): 0.175}
    keys = zip(frame["objective"], frame["variant"], strict=True)
    values = [of_method.get((objective, variant), d.get(objective)) for objective, variant in keys]
    (table,) = build_tables(frame.assign(forget_quality_d=values), ALL)
    (note,) = [note for note in table.footnotes if "steps" in note]
    listed = "1, 0.9900, 0.9188, 0.7659, 0.5786, 0.4046, 0.2657, 0.1650, 0.0971, 0.0541, 0.0286, 0.0143, 0.0068, 0.0030, 0.0013"
    assert (
        f"with 40 samples D of one run moves in steps of 0.025, and p can take only these values from 0.001 to 1: {listed}."
        in note
    )
    assert note.endswith(
        "Less than two steps apart in D: from their base: NPO + BalDRO-G; "
        "best from second best: NPO + BalDRO-DV (0.150) and SimNPO + BalDRO-DV (0.175)."
    )  # 0.35 and 0.4 are two steps apart
    several = frame_of(splits=("forget10",), objectives=("npo",), betas=(5,))
    several.loc[several["variant"] != "base", "forget_quality_d"] = 0.01
    (note,) = [note for note in build_tables(several, ALL)[0].footnotes if "steps" in note]
    assert "with 400 samples D of one run moves in steps of 0.0025." in note and "p can take" not in note
    assert "by their means over seeds: best from second best" in note


def test_markdown_is_a_rectangle():
    (table,) = build_tables(frame_of(), ALL)
    parts = [part for part in markdown(table).split("\n\n") if part.startswith("|")]
    assert len(parts) == 2  # six metrics of two splits do not fit side by side
    for part in parts:
        lines = part.splitlines()
        assert len(lines) == len(table.rows) + 2
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_splits_stand_side_by_side_where_they_fit():
    frame = frame_of(seeds=(0,))
    (wide,), (narrow,) = build_tables(frame, ALL), build_tables(frame, ALL, ["forget_quality_d", "model_utility"])
    assert latex(wide).count(r"\begin{table*}") == html(wide).count("<table>") == 2
    assert latex(narrow).count(r"\begin{table*}") == html(narrow).count("<table>") == 1
    assert html(narrow).count("colgroup") == 2 and r"\cmidrule(lr){2-3}\cmidrule(lr){4-5}" in latex(narrow)


def test_latex_is_balanced_and_escaped():
    frame = frame_of(lost=[(2, "50 % of $x_1 & #2 {a} ~ ^ \\ <")], **ALONE, seeds=(0,))
    text = latex(build_tables(frame, ALL)[0])
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert r"50 \% of \$x\_1 \& \#2 \{a\} \textasciitilde{} \textasciicircum{} \textbackslash{} \textless{}" in text
    assert "tiny\\_model" in text and "±" not in text and "↑" not in text
    wanted = 7  # a label and six metrics, a failed row spans its cells
    for line in text.splitlines():
        if line.endswith(r"\\") and "multicolumn" not in line:
            assert len(re.findall(r"(?<!\\)&", line)) == wanted - 1


def test_latex_writes_powers_of_ten():
    assert latex_escape("a_b→é") == r"a\_b?é"


def test_latex_p_values():
    text = latex(build_tables(frame_of(**ALONE, seeds=(0,)), ALL)[0])
    assert re.search(r"\$\d\.\d\\times10\^\{-\d+\}\$", text)


def test_terminal_text_fits_its_width():
    frame = frame_of(seeds=(0,))
    for width in (60, 80, 120, 250):
        text = tables_text(frame, ALL, width=width)
        assert max(map(len, text.splitlines())) <= width
        assert "NPO + BalDRO-DV (beta_dv 5)" in text or width < 80
    assert "Too wide to show" in tables_text(frame, ALL, width=60)


def test_a_narrow_terminal_loses_the_last_columns_before_intervals():
    frame = frame_of(splits=("forget10",), seeds=(0,))
    shown = {width: tables_text(frame, ALL, width=width) for width in (160, 100, 60)}
    heads = {width: text.split("One run each")[0] for width, text in shown.items()}
    assert "[" in heads[160] and "Too wide" not in shown[160]
    assert "[" in heads[100] and "MU ↑" in heads[100] and "F-TR ↑" not in heads[100]
    assert re.search(r"Too wide to show here \(see tables/\): [^[]*F-TR ↑\.", " ".join(shown[100].split()))
    assert "[" not in heads[60] and "intervals over samples." in " ".join(shown[60].split())


def test_chosen_metrics():
    frame = frame_of(**ALONE)
    (table,) = build_tables(frame, ALL, ["model_utility"])
    assert table.metrics == ("model_utility",)
    with refused("unknown-metric", "utility"):
        build_tables(frame, ALL, ["utility"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1.00"),
        (0.9188, "0.92"),
        (0.165, "0.17"),
        (0.0541, "0.054"),
        (0.0013, "0.0013"),
        (3.14e-5, "3.1e-05"),
        (0, "0"),
    ],
)
def test_p_values_are_readable(value, text):
    assert number(value, p_value=True) == text
