"""Tasks of lm-evaluation-harness through the verbs: asked where a model is scored, and metrics like others; never loaded without them."""

import json
import sys

import pandas as pd
import pytest
import yaml

from baldro.records import evidence
from baldro.runs import packages

from .conftest import SHORT, baldro

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]
ASKED = dict(max_new_tokens=3, evaluate_rows=2)
METRIC = "lm_eval_quiz"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """What `baldro tasks` writes of a task in a folder; and the folder."""
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    folder = tmp_path_factory.mktemp("tasks")
    rows = [{"q": f"Who wrote book {i}?", "options": ["no one", f"she{i}", "a cat"], "right": i % 3} for i in range(12)]
    (folder / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = dict(
        task="quiz", metadata=dict(version=2.0), dataset_path="json", test_split="test", output_type="multiple_choice", doc_to_text="{{q}}",
        doc_to_choice="{{options}}", doc_to_target="{{right}}", metric_list=[dict(metric="acc", aggregation="mean", higher_is_better=True)],
        dataset_kwargs=dict(data_files=dict(test=str(folder / "quiz.jsonl")), cache_dir=str(folder.parent / "cache")),
    )  # fmt: skip
    (folder / "quiz.yaml").write_text(yaml.safe_dump(task))
    asked = dict(tasks=["quiz"], include_path=str(folder), limit=10)
    assert baldro("tasks", definition=json.dumps(asked), output=folder.parent / "tasks.json") == 0
    return folder, folder.parent / "tasks.json"


def test_what_is_asked_is_noted_with_the_content_of_its_files(tasks):
    folder, noted = tasks
    before = json.loads(noted.read_text())
    assert before["asked"] == {
        "tasks": ["quiz"],
        "limit": 10,
        "apply_chat_template": False,
        "include_path": str(folder),
    }
    assert before["tasks"] == {"quiz": {"version": 2.0, "questions": 12}}
    (folder / "note.txt").write_text("another file")
    asked = {**before["asked"], "batch_size": 3}
    assert baldro("tasks", definition=json.dumps(asked), output=folder.parent / "other.json") == 0
    other = json.loads((folder.parent / "other.json").read_text())
    assert other.pop("content") != before.pop("content") and other == before, "the size of batches changes no number"


def test_a_model_is_asked_where_it_is_trained_and_its_own_evidence_stays(made, tasks, tmp_path, monkeypatch):
    trained, given = tmp_path / "at_once", dict(lm_eval=tasks[1], lm_eval_batch=5)
    options = dict(made.short, output=trained, samples=trained / "samples.parquet", keep="model")
    assert baldro("train", **options, **ASKED, **given) == 0
    score = dict(made.given, run=SHORT, start=trained / "model")
    assert baldro("score", **score, **ASKED, **given, output=tmp_path / "stored.parquet") == 0
    monkeypatch.setitem(sys.modules, "lm_eval", None)  # loading it would now be an error
    assert baldro("score", **score, **ASKED, output=tmp_path / "plain.parquet") == 0
    plain = pd.read_parquet(tmp_path / "plain.parquet")
    assert list(plain) == list(evidence.COLUMNS)
    for path in (trained / "samples.parquet", tmp_path / "stored.parquet"):
        pd.testing.assert_frame_equal(evidence.read(path), plain, check_exact=True)
        assert evidence.read(path).attrs == plain.attrs
        assert evidence.scores(path)[METRIC].tolist() == evidence.scores(trained / "samples.parquet")[METRIC].tolist()
    values = evidence.scores(trained / "samples.parquet")[METRIC]
    assert len(values) == 10 and set(values) <= {0.0, 1.0}
    assert (trained / "model/tokenizer_config.json").read_bytes() == (
        made.root / "short/model/tokenizer_config.json"
    ).read_bytes()

    outputs = dict(output=tmp_path / "metrics.json", per_sample=tmp_path / "per_sample.parquet")
    assert baldro("metrics", run=SHORT, samples=trained / "samples.parquet", alone=True, **outputs) == 0
    found = json.loads(outputs["output"].read_text())
    low, high = found["intervals"][METRIC]
    assert found["metrics"][METRIC] == pytest.approx(values.mean()) and 0 <= low <= values.mean() <= high <= 1
    per_sample = pd.read_parquet(outputs["per_sample"]).query("metric == @METRIC")
    assert per_sample["value"].tolist() == values.tolist()


@pytest.mark.parametrize("verb", ["tasks", "train"])
def test_without_the_package_the_verbs_end_in_one_line_before_any_work(made, tmp_path, monkeypatch, capsys, verb):
    noted, find_spec = tmp_path / "tasks.json", packages.find_spec
    noted.write_text(json.dumps(dict(asked={"tasks": ["quiz"]}, package="0.4.13", tasks={})))
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "lm_eval" else find_spec(name))
    options = dict(definition=json.dumps({"tasks": ["quiz"]}), output=tmp_path / "out.json")
    if verb == "train":
        options = dict(made.short, output=tmp_path / "run", samples=tmp_path / "run/samples.parquet", lm_eval=noted)
    capsys.readouterr()
    assert baldro(verb, **options) == 2
    told = capsys.readouterr().err.strip()
    assert "\n" not in told and "lm_eval" in told and "pip install lm-eval" in told
    assert not (tmp_path / "run/checkpoint").exists() and not (tmp_path / "out.json").exists()
