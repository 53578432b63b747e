"""The whole report: files, figures, the page, and what it claims."""

import re
import struct
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest
from refusals import refused
from scipy import stats

from baldro.analysis.comparisons import compare
from baldro.analysis.evidence import known
from baldro.analysis.labels import metric
from baldro.analysis.samples import RATIOS
from baldro.errors import BaldroError
from baldro.report import main_table_text, read_frame, tables_text, write_report

from .conftest import frame_of, made, write_study

ALL = {"rule": "all"}
SMALL = {"splits": ("forget10",), "objectives": ("npo",), "betas": (1, 5), "seeds": (0,), "samples": 60}
VOID = {"meta", "link", "img", "br", "hr", "input"}


def report(study_result, tmp_path, *, rule=ALL, allow_missing=False, **more):
    rows, results = study_result
    return write_report(
        name=more.pop("name", "A study"),
        runs=rows,
        results=results,
        output=tmp_path / "out",
        selection=rule,
        config_text=more.pop("config_text", "name: study"),
        notes=more.pop("notes", {}),
        allow_missing=allow_missing,
        **more,
    )


@pytest.mark.usefixtures("no_figures")
def test_the_page_is_written_last_and_gone_while_the_rest_is_written(study, tmp_path, monkeypatch):
    result = study(**SMALL)
    page = report(result, tmp_path)
    assert page.is_file()
    monkeypatch.setattr("baldro.report.latex", lambda table: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report(result, tmp_path)
    assert not page.exists(), "it would stand beside tables that are not its own"
    assert not list((tmp_path / "out").rglob("*.part"))


class Page(HTMLParser):
    """Collects tags and text, and checks that every tag is closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    def all_text(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The report of the whole study: a test must not write there."""
    folder = tmp_path_factory.mktemp("whole")
    return report(write_study(folder, betas=(1, 5), seeds=(0, 1)), folder)


@pytest.fixture
def page(whole):
    return Page(whole.read_text())


def test_files(whole):
    out = whole.parent
    assert whole == out / "report.html"
    assert len(pd.read_csv(out / "runs.csv")) == 36
    for kind in ("csv", "md", "tex"):
        assert (out / "tables" / f"tofu--llama-2-7b-chat.{kind}").stat().st_size > 500
    for figure in ("tradeoff", "beta", "forgetting", "knowledge"):
        stem = out / "figures" / f"tofu--llama-2-7b-chat--{figure}"
        png, pdf = stem.with_name(stem.name + ".png").read_bytes(), stem.with_name(stem.name + ".pdf").read_bytes()
        assert png[:8] == b"\x89PNG\r\n\x1a\n" and min(struct.unpack(">II", png[16:24])) > 400 and len(png) > 10_000
        assert pdf[:5] == b"%PDF-" and b"FontFile2" in pdf and b"CreationDate" not in pdf


def test_same_results_same_bytes(study, tmp_path):
    result = study(**SMALL)
    report(result, tmp_path)
    first = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    report(result, tmp_path)
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == first


def test_the_page_is_self_contained(page):
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe")
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 4 and all(len(image["alt"]) > 40 for image in images)


def test_the_page_has_no_address(whole):
    text = re.sub(r"base64,[^\"]+", "", whole.read_text())
    assert "http" not in text and "url(" not in text and "@import" not in text


def test_the_page_says_what_was_run_and_how(page):
    text = page.all_text()
    assert "NPO and SimNPO on forget05 and forget10 of tofu, with llama-2-7b-chat." in text
    assert "Shown is every hyperparameter point" in text and "every run has a result" in text
    assert "The two models are distinguishable: there is something to unlearn." in text
    assert "forget probability 0.900 [0.896, 0.904] for Original and 0.150 [0.146, 0.154] for Retain" in text
    assert "on 400 samples D moves in steps of 0.0025" in text and "95 % interval over samples" in text
    assert "Absent from every row: fluency (no classifier was given)." in text
    assert "torch" in text and "2.13.0" in text and "0123abc" in text and "1.00 GiB" in text
    assert sum(tag == "caption" for tag, _ in page.tags) >= 2


@pytest.mark.usefixtures("no_figures")
def test_one_seed_is_judged_over_samples_only_and_text_is_escaped(study, tmp_path):
    more = {"name": "<b>x</b>", "config_text": "a: <i> & 'b'", "notes": {"Why <u>": "because 1 < 2"}}
    page = report(study(seeds=(0,), splits=("forget10",)), tmp_path, **more).read_text()
    text = Page(page).all_text()
    assert "<b>x" not in page and "<i>" not in page and "<u>" not in page
    assert "a: <i> & 'b'" in text and "because 1 < 2" in text
    assert "one seed: no interval can be given" in text and "over samples better in" in text
    lines = pd.read_csv(tmp_path / "out" / "differences.csv")
    assert set(lines["over_seeds"]) == {"one seed: no interval can be given"}
    assert 'class="open"' in page and 'class="better"' not in page  # a colour needs the seeds


@pytest.mark.usefixtures("no_figures")
def test_failed_runs_are_told_and_the_terminal_shows_the_written_report(study, lose, tmp_path):
    rows, results = study(splits=("forget10",), objectives=("npo",), betas=(5,), seeds=(0, 1))
    lose(results, rows[2]["id"], "loss is NaN at step 12")
    lose(results, rows[3]["id"])
    text = Page(report((rows, results), tmp_path, allow_missing=True).read_text()).all_text()
    assert f"{rows[2]['id']} failed loss is NaN at step 12" in text
    assert f"{rows[3]['id']} missing no result; see its log" in text
    assert "runs without result 2" in text
    frame = pd.read_csv(tmp_path / "out" / "runs.csv")
    assert frame["status"].value_counts().to_dict() == {"ok": len(rows) - 2, "failed": 1, "missing": 1}
    frame = read_frame(runs=rows, results=results, allow_missing=True)
    assert main_table_text(tmp_path / "out", width=90) == tables_text(frame, ALL, width=90)
    with pytest.raises(BaldroError, match=r"report\.json"):
        main_table_text(tmp_path)


def test_nothing_at_all_still_gives_a_page(study, lose, tmp_path):
    rows, results = study(splits=("forget10",), objectives=("npo",), seeds=(0,))
    for row in rows:
        lose(results, row["id"], "no disk")
    text = Page(report((rows, results), tmp_path, allow_missing=True).read_text()).all_text()
    assert "no result of Original and Retain" in text and "Not drawn:" in text
    assert not list((tmp_path / "out" / "figures").iterdir())


def test_what_cannot_be_drawn_or_compared_is_told(study, tmp_path):
    """One beta, and no base."""
    axes = {"variants": ("baldro-dv",), "betas": (5,), "splits": ("forget10",), "objectives": ("npo",)}
    text = Page(report(study(**axes), tmp_path).read_text()).all_text()
    assert "fewer than two values of dv_beta" in text and not list((tmp_path / "out" / "figures").glob("*beta*"))
    assert "no objective has dynamics of base and baldro-dv" in text and "no base run to pair with" in text


def test_several_benchmarks_and_the_best_rule(study, tmp_path):
    one, results = study(**SMALL)
    two, _ = study(**{**SMALL, "splits": ("forget05",)}, benchmark="fictional", model="tiny")
    bound = {"metric": "model_utility", "at_least": 0.9, "of": "original"}
    rule = {"rule": "best", "metric": "forget_quality", "subject_to": bound}
    text = Page(report(([*one, *two], results), tmp_path, rule=rule).read_text()).all_text()
    assert (
        "tofu, llama-2-7b-chat" in text and "fictional, tiny" in text and "at least 0.9 times that of Original" in text
    )
    assert len(list((tmp_path / "out" / "figures").glob("*.png"))) == 8


def test_pairs_agree_with_a_paired_t_test():
    frame = frame_of()
    pairs = compare(frame, ALL)
    assert len(pairs) == 2 * 2 * 4 * 5  # splits, objectives, one G and three DV points, metrics
    for pair in pairs:
        own = frame[(frame["split"] == pair.split) & (frame["objective"] == pair.objective)]
        beta = re.search(r"beta_dv (\d+)", pair.method)
        robust = own[(own["variant"] == pair.variant) & ((own["dv_beta"] == int(beta[1])) if beta else True)]
        base = own[own["variant"] == "base"]
        test = stats.ttest_rel(robust[pair.metric].astype(float), base[pair.metric].astype(float))
        interval = test.confidence_interval(0.95)
        assert pair.difference.low == pytest.approx(interval.low) and pair.difference.high == pytest.approx(
            interval.high
        )
        better = (pair.difference.mean > 0) == (metric(pair.metric).better == "up")
        shown = ("better" if better else "worse") if test.pvalue < 0.05 else "no difference shown"
        assert pair.over_seeds == shown == pair.verdict and pair.over_samples == "not tested"


def test_equal_differences_give_no_verdict():
    frame = frame_of(splits=("forget10",), objectives=("npo",))
    steps = frame["seed"].fillna(0).astype(float) + frame["variant"].map(
        {"base": 0.0, "baldro-g": 0.5, "baldro-dv": 1.0}
    )
    pairs = compare(frame.assign(model_utility=steps), ALL)
    verdicts = {p.over_seeds for p in pairs if p.metric == "model_utility"}
    assert verdicts == {"every seed alike: the interval has no width"}


def test_pairs_need_equal_settings(study):
    one, results = study(splits=("forget10",), objectives=("npo",), variants=("base",), lr=1e-5)
    two, _ = study(splits=("forget10",), objectives=("npo",), lr=2e-5)
    runs = list({row["id"]: row for row in [*one, *two]}.values())
    frame = read_frame(runs=runs, results=results)
    base = frame[(frame["variant"] == "base") & (frame["lr"] == 2e-5)]["model_utility"].astype(float).mean()
    group = frame[frame["variant"] == "baldro-g"]["model_utility"].astype(float).mean()
    pair = next(p for p in compare(frame, ALL) if p.variant == "baldro-g" and p.metric == "model_utility")
    assert pair.difference.mean == pytest.approx(group - base)


def test_truth_ratios_that_do_not_fit_the_metrics_are_an_error():
    frame, samples = made(**SMALL)
    original = samples[frame["id"][0]]
    wrong = {**original, RATIOS: original[RATIOS] * 0 + 3.0}
    with refused("files-of-two-evaluations", "forget10", "make run"):
        known(frame, {**samples, frame["id"][0]: wrong})


def test_muse_has_its_own_tables_and_figures(study, tmp_path):
    result = study(**{**SMALL, "splits": ("forget",)}, benchmark="muse-news", model="llama-2-7b")
    text = Page(report(result, tmp_path).read_text()).all_text()
    assert "verbatim memorisation, forget 0.580" in text and "forget quality (p)" not in text
    assert "published" in text  # the paper's Table 2
    drawn = {path.stem.rpartition("--")[2] for path in (tmp_path / "out" / "figures").glob("*.png")}
    assert drawn == {"beta", "forgetting", "knowledge"}
    lines = pd.read_csv(tmp_path / "out" / "differences.csv")
    assert set(lines["metric"]) >= {"verbmem_forget", "knowmem_forget", "knowmem_retain"}
    assert lines["p_holm"].notna().all()


def test_importing_the_report_needs_neither_torch_nor_matplotlib():
    code = "import sys, baldro.report; print([m for m in ('torch', 'matplotlib', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
