"""What is kept over requests and over their size, read from the axes."""

import pandas as pd
import pytest

from baldro.analysis.frame import read_results
from baldro.analysis.labels import parent_label
from baldro.records import benchmark as records
from baldro.report.figures import draw_all
from baldro.report.figures.growing import draw_growing, growing
from baldro.runs import Run
from baldro.runs.grid import united

from .conftest import as_rows, write_run

ALL = {"rule": "all"}
SPLITS = ["forget01", "forget05", "forget10"]
BLOCK = dict(
    benchmark="tofu", model="tiny", objective="npo", variant=["base", "baldro-dv"], lr=[1e-5, 2e-5], seed=[0, 1]
)


def study(folder, block) -> pd.DataFrame:
    runs = united(BLOCK | block)
    names = [dict(benchmark="tofu", model="tiny", split=split) for split in SPLITS]
    runs = [Run.of(**name, objective=each) for each in ("original", "retain") for name in names] + runs
    for run in runs:
        write_run(folder, run, n=20)
    return read_results(runs=as_rows(runs), results=folder)[0]


def drawn(frame, name, results, rule=ALL) -> list[dict[float, float]]:
    """The lines of a figure, without their error bars: place -> value."""
    figure = draw_growing(frame, growing(frame, results)[name], rule, requests=name == "requests").figure
    points = [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in figure.axes[0].lines]
    return [dict(zip(x, y, strict=True)) for x, y in points if x[0] == 0]


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chains")
    return study(folder, dict(requests=SPLITS)), folder


def test_a_chain_is_a_line_from_original_over_its_requests(chains):
    frame, folder = chains
    assert list(growing(frame, folder)) == ["requests"]
    found = drawn(frame, "requests", folder)
    assert len(found) == 4 and all(list(line) == [0, 1, 2, 3] for line in found), "two variants, two learning rates"
    original = frame.loc[frame["objective"] == "original", "model_utility"].mean()
    assert {line[0] for line in found} == {original}
    own = (frame["variant"] == "base") & (frame["lr"] == 2e-5)
    expected = [frame.loc[own & (frame["split"] == split), "model_utility"].mean() for split in SPLITS]
    assert any(list(line.values())[1:] == pytest.approx(expected) for line in found)


def test_what_a_request_comes_after_is_said_in_one_line(chains):
    frame, _ = chains
    last = frame[(frame["split"] == "forget10") & (frame["variant"] == "baldro-dv") & (frame["seed"] == 1)].iloc[0]
    assert parent_label(last["parent"]) == "NPO + BalDRO-DV of forget01, forget05 (seed 1)"


def test_a_rule_chooses_at_the_last_request(chains):
    frame, folder = chains
    found = drawn(frame, "requests", folder, {"rule": "best", "metric": "model_utility"})
    assert len(found) == 2
    last = frame[frame["split"] == "forget10"].groupby(["variant", "lr"])["model_utility"].mean()
    assert sorted(line[3] for line in found) == pytest.approx(sorted(last.groupby("variant").max()))


def test_requests_of_three_sizes_are_a_line_over_their_rows(tmp_path):
    frame = study(tmp_path, dict(split=SPLITS))
    assert growing(frame, tmp_path) == {}, "whose rows nobody knows"
    sizes = dict(zip(SPLITS, (4, 20, 40), strict=True))
    row = {"question": "Who?", "answer": "I."}
    place = records.place(tmp_path, "tofu")
    place.parent.mkdir(parents=True)
    records.write(place, records.frame_of({split: [row] * rows for split, rows in sizes.items()}))
    assert list(growing(frame, tmp_path)) == ["sizes"]
    assert growing(frame[frame["split"] != "forget01"], tmp_path) == {}, "two sizes are no curve"
    assert [list(line) for line in drawn(frame, "sizes", tmp_path)] == [[0, 4, 20, 40]] * 4
    figures, _ = draw_all(frame, {}, ALL, results=tmp_path, folder=tmp_path / "figures")
    (own,) = [figure for figure in figures if figure.png.name == "tofu--tiny--sizes.png"]
    assert own.title == "Model utility over the size of a request (tofu, tiny)" and "by itself" in own.caption
