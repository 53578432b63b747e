"""`baldro reference` of the gold answers and of other ones: whose log-probabilities stand in the file, and which files are refused."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from refusals import refused
from transformers import AutoModelForCausalLM, AutoTokenizer

from baldro import benchmarks as data
from baldro import models
from baldro.benchmarks.idk import SENTENCES
from baldro.durable.files import read_json
from baldro.errors import BaldroError
from baldro.jobs import inputs, provenance
from baldro.jobs.run_inputs import RunInputs, read
from baldro.runs import Run

from .conftest import BENCHMARK, PRETRAIN, TINY, baldro, id_of

pytestmark = pytest.mark.usefixtures("one_thread")
DECIDED = dict(TINY, build=TINY["build"] | dict(initializer_range=0.2))
KINDS = ("answer", "idk", "alternates")
ORIGINAL = id_of("original", "forget20")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A benchmark, a model of large random weights, and the log-probabilities of each kind of answers to two authors' questions."""
    root = tmp_path_factory.mktemp("answers")
    at = SimpleNamespace(root=root, file={kind: root / f"{kind}.parquet" for kind in KINDS})
    at.given = dict(benchmark=root / "small.parquet", model=root / "tiny.json")
    codes = [
        baldro("benchmark", definition=json.dumps(BENCHMARK), output=at.given["benchmark"]),
        baldro("model", name="tiny", definition=json.dumps(DECIDED), output=at.given["model"]),
    ]
    models.save(
        *inputs.open_to_train(read(SimpleNamespace(run=PRETRAIN, part="build", start=None, **at.given))),
        root / "base/model",
        precision="fp32",
    )
    at.start = dict(at.given, start=root / "base/model")
    codes += [baldro("reference", run=ORIGINAL, output=at.file["answer"], **at.start)]
    codes += [baldro("reference", run=ORIGINAL, answers=k, output=at.file[k], **at.start) for k in KINDS[1:]]
    assert codes == [0] * 5
    at.options = SimpleNamespace(run=ORIGINAL, part="build", **at.start)
    at.rows = data.split(data.read(at.given["benchmark"]), "forget20")
    at.opened = inputs.open_to_score(read(at.options))
    return at


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_log_probabilities_are_those_of_the_answers(made, kind):
    """Against transformers' own logits, text by text."""
    model = AutoModelForCausalLM.from_pretrained(made.root / "base/model", dtype=torch.float64)
    tokenizer = AutoTokenizer.from_pretrained(made.root / "base/model")
    stored = pd.read_parquet(made.file[kind])
    seen = []
    for row, (_, record) in zip(stored.itertuples(), made.rows.iterrows(), strict=True):
        others = {"answer": [record["answer"]], "alternates": [record["alternate_answer"]], "idk": SENTENCES}[kind]
        asked = tokenizer(record["question"] + "\n")["input_ids"]
        found = {}
        for text in others:
            whole = [*tokenizer(record["question"] + "\n" + text)["input_ids"], tokenizer.eos_token_id]
            assert whole[: len(asked)] == asked
            logp = torch.log_softmax(model(torch.tensor([whole])).logits[0, :-1], -1)
            found[text] = logp[range(len(whole) - 1), whole[1:]][len(asked) - 1 :]
        close = [
            text
            for text, logp in found.items()
            if len(logp) == row.tokens == len(row.token_logp)
            and torch.allclose(torch.tensor(row.token_logp).double(), logp, rtol=1e-4)
            and row.logp == pytest.approx(float(logp.sum()), rel=1e-5)
        ]
        assert len(close) == 1
        seen += close
    assert stored["index"].tolist() == [*range(len(made.rows))]
    assert kind != "idk" or len(set(seen)) == len(seen), "so few rows have as many different sentences"


def test_another_prompt_is_refused_by_its_token_ids(made):
    """As many answer tokens behind a prompt of another day: only the ids tell them apart."""
    sequences = inputs.answers_of(read(made.options), *made.opened, "forget20", "answer")
    first = sequences[0]
    other = replace(first, ids=(first.ids[0], first.ids[2], first.ids[1], *first.ids[3:]))
    with refused("reference-of-others", made.file["answer"], "forget20"):
        inputs.reference_tokens(made.file["answer"], [other, *sequences[1:]], "split forget20")
    one, same, another = (provenance.with_sequences('{"run": "x"}', s) for s in ([first], [replace(first)], [other]))
    assert one == same != another and json.loads(one)["run"] == "x"


@pytest.mark.parametrize("kind", KINDS)
def test_stored_values_belong_to_the_sequences_that_are_trained_on(made, kind):
    sequences = inputs.answers_of(read(made.options), *made.opened, "forget20", kind)
    values = inputs.reference_tokens(made.file[kind], sequences, "split forget20")
    assert [len(row) for row in values] == [s.answer for s in sequences]
    assert [sum(row) for row in values] == pytest.approx(pd.read_parquet(made.file[kind])["logp"].tolist(), rel=1e-12)
    for other in set(KINDS) - {kind}:
        with refused("reference-of-others", f"{other}.parquet", "forget20"):
            inputs.reference_tokens(made.file[other], sequences, "split forget20")


def test_the_questions_are_the_same_and_the_kind_answer_is_the_split_itself(made):
    given = read(made.options)
    gold, idk, alternates = (inputs.answers_of(given, *made.opened, "forget20", kind) for kind in KINDS)
    assert gold == inputs.tokens(given, *made.opened, "forget20")
    for a, b, c in zip(gold, idk, alternates, strict=True):
        assert a.ids[: a.start] == b.ids[: b.start] == c.ids[: c.start]
        assert len({a.ids[a.start :], b.ids[b.start :], c.ids[c.start :]}) == 3
        assert {s.ids[-1] for s in (a, b, c)} == {made.opened[1].eos_token_id}


def test_a_file_of_sums_alone_is_refused(made, tmp_path):
    """As an earlier version wrote it."""
    pd.read_parquet(made.file["idk"]).drop(columns="token_logp").to_parquet(tmp_path / "old.parquet")
    sequences = inputs.answers_of(read(made.options), *made.opened, "forget20", "idk")
    with pytest.raises(BaldroError, match=r"old\.parquet .*token_logp"):
        inputs.reference_tokens(tmp_path / "old.parquet", sequences, "split forget20")


def test_answers_that_there_are_not(made, tmp_path, capsys):
    code = baldro(
        "reference", run=id_of("original", "retain90"), answers="alternates", output=tmp_path / "r", **made.start
    )
    error = capsys.readouterr().err.strip()
    assert code == 2 and "row 0 of split retain90 " in error
    assert len(error.splitlines()) == 1 and not (tmp_path / "r").exists()
    with pytest.raises(SystemExit):
        baldro("reference", run=ORIGINAL, answers="idkk", output=tmp_path / "r", **made.start)
    assert "'idkk'" in capsys.readouterr().err
    given = read(made.options)
    with refused("unknown-kind-of-answers", "mean idk?"):
        inputs.answers_of(given, *made.opened, "forget20", "idkk")
    running = RunInputs(given.run, given.model, given.records.assign(question=""), given.start)
    for kind in KINDS[1:]:
        with refused("no-other-answers", "forget20"):
            inputs.answers_of(running, *made.opened, "forget20", kind)


def test_a_checkpoint_belongs_to_both_references(made, tmp_path):
    given = read(made.options)
    both = dict(reference=made.file["answer"], alternate_reference=made.file["idk"])
    found = [provenance.identity(given, **{**both, name: made.file["alternates"]}) for name in both]
    found += [provenance.identity(given, **both), provenance.identity(given, reference=both["reference"])]
    found += [provenance.identity(given, alternate_reference=both["reference"])]
    assert len(set(found)) == 5
    (tmp_path / "copy").write_bytes(made.file["idk"].read_bytes())
    assert provenance.identity(given, **{**both, "alternate_reference": tmp_path / "copy"}) == found[2]


@pytest.mark.parametrize(("objective", "kind"), [("idkdpo", "idk"), ("altpo", "alternates")])
def test_a_run_that_teaches_another_answer(made, tmp_path, capsys, objective, kind):
    """DPO's first loss is (2/b) log 2 on every sample, since each of both answers is as likely as under the reference."""
    run = Run.parse(id_of(objective, "forget20", max_steps=2, batch_size=4, lr=0.01, warmup_epochs=0))
    options = dict(made.start, run=run.id, retain_split="retain80", reference=made.file["answer"])
    assert baldro("train", output=tmp_path / "out", alternate_reference=made.file[kind], **options) == 0
    first = pd.read_parquet(tmp_path / "out/dynamics.parquet").query("step == 1")
    assert first["loss"].tolist() == pytest.approx([2 / run.dpo_beta * 0.6931471805599453] * 4, rel=1e-3)
    assert read_json(tmp_path / "out/run.json")["tokens"] > 0
    for wrong in ({}, {"alternate_reference": made.file["answer"]}):
        capsys.readouterr()
        assert baldro("train", output=tmp_path / "no", **options, **wrong) == 2
        error = capsys.readouterr().err.strip()
        assert len(error.splitlines()) == 1 and ("make it anew" if wrong else "allowed") in error


def test_a_package_that_is_not_installed_does_not_lose_a_trained_model():
    assert provenance._version("torch") == torch.__version__ and provenance._version("no-such-package") is None
