"""Published logs as evidence: round trips of our own results, retain models of others, and every way in which a file is broken."""

import copy
import gzip
import json
import math

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from baldro.metrics import METRICS, Absent, aggregates, evaluate, from_log, from_samples, ratios, read_log
from baldro.metrics.export import to_log
from baldro.metrics.published import names

NOT_IN_LOGS = {  # of ours, what the format has no place for
    "tofu": {f"{section}_rouge1_f1" for section in ("forget", "retain", "real_authors", "world_facts")},
    "muse": set(),
}


def numbers(results):
    return {name: value.value for name, value in results.values.items()}


@pytest.fixture(scope="module", params=["tofu", "muse"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def frames(kind, make_samples, make_muse):
    """The model's evidence and the retain model's."""
    make = make_samples if kind == "tofu" else make_muse
    return make(1, 12), make(2, 12)


@pytest.fixture(scope="module")
def pair(frames):
    return tuple(from_samples(frame, where=name) for frame, name in zip(frames, ("ours", "retain"), strict=True))


@pytest.fixture(scope="module")
def exported(pair):
    """Both as logs, written and read again: `model` held against `retain`, `retain` alone."""
    model, retain = pair
    contents = to_log(model, evaluate(model, retain)), to_log(retain, evaluate(retain, None, alone=True))
    return tuple(json.loads(json.dumps(content, allow_nan=False)) for content in contents)


def made_up(seed: int, n: int = 40) -> dict:
    """A log of TOFU's form, with numbers of no model; its aggregates are null."""
    random = np.random.default_rng(seed)

    def entry(**shapes):
        rows = [{key: random.random(shape).tolist() if shape else random.random() for key, shape in shapes.items()}
                for _ in range(n)]  # fmt: skip
        return {"agg_value": None, "value_by_index": {str(i): row for i, row in enumerate(rows)}}

    log = {"forget_quality": {"agg_value": None}, "model_utility": {"agg_value": 0.5}}
    for section in ("forget", "retain", "ra", "wf"):
        log[f"{section}_Q_A_Prob"] = entry(avg_loss=0, prob=0)
        log[f"{section}_Q_A_PERT_Prob"] = entry(avg_loss=5, prob=5)
        log[f"{section}_Q_A_ROUGE"] = entry(rouge1_recall=0, rougeL_recall=0, rougeL_f1=0)
        if section in ("forget", "retain"):
            log[f"{section}_Q_A_PARA_Prob"] = entry(avg_loss=0, prob=0)
    log |= {name: entry(score=0) for name in ("exact_memorization", "extraction_strength")}
    for attack in ("loss", "zlib", "min_k", "min_k_plus_plus", "gradnorm", "reference"):
        log[f"mia_{attack}"] = {"forget": entry(score=0), "holdout": entry(score=0), "auc": 0.5, "agg_value": 0.5}
    return log


@pytest.fixture
def tofu():
    """A log that may be spoilt."""
    return made_up(1)


@pytest.fixture
def tofu_retain():
    return from_log(made_up(2), where="retain.json")


# round trips


def test_there_and_back(kind, pair, exported):
    ours = numbers(evaluate(*pair))
    again = evaluate(*(from_log(content, where="log") for content in exported))
    assert set(ours) - set(again.values) == NOT_IN_LOGS[kind]
    assert numbers(again) == {name: ours[name] for name in ours if name not in NOT_IN_LOGS[kind]}


def test_there_and_back_sample_by_sample(kind, pair, exported):
    ours, again = evaluate(*pair), evaluate(*(from_log(content, where="log") for content in exported))
    for name, value in again.values.items():
        before = ours.values[name]
        if value.per_sample is not None:
            pd.testing.assert_series_equal(value.per_sample, before.per_sample, check_names=False)
        for one, other in zip(value.parts, before.parts, strict=True):
            np.testing.assert_array_equal(one, other)


def test_through_a_file(tmp_path, exported, pair):
    for name, pack in (("a.json", bytes), ("a.json.gz", gzip.compress)):
        (tmp_path / name).write_bytes(pack(json.dumps(exported[0]).encode()))
        assert read_log(tmp_path / name) == exported[0]


def test_an_export_says_our_values(kind, pair, exported):
    ours = numbers(evaluate(*pair))
    told = aggregates(exported[0])
    assert told == {name: ours[name] for name in names(kind) if name in ours}
    assert set(told) == set(names(kind))


def test_every_aggregate_of_an_export_is_its_samples_mean(kind, exported):
    """But truth ratios, whose samples are raw."""
    entries = {name: entry for name, entry in exported[0].items() if not name.lower().endswith("truth_ratio")}
    entries |= {f"{n} {side}": e[side] for n, e in exported[0].items() if "auc" in e for side in ("forget", "holdout")}
    seen = 0
    for name, entry in entries.items():
        key = ("rougeL_recall" if kind == "tofu" else "rougeL_f1") if "ROUGE" in name else "score"
        key = "prob" if "_Prob" in name else key
        if samples := entry.get("value_by_index"):
            assert entry["agg_value"] == pytest.approx(np.mean([np.mean(sample[key]) for sample in samples.values()]))
            seen += 1
    assert seen == (31 if kind == "tofu" else 17)


def test_an_export_keeps_the_holdouts_own_numbers(make_samples):
    """Reference scores, too, which are made of two models' losses: rows need not be numbered from 0."""
    frames = [make_samples(seed) for seed in (1, 2)]
    for frame in frames:
        frame.loc[frame["section"] == "holdout", "index"] += 7
    model, retain = (from_samples(frame, where="x") for frame in frames)
    log = to_log(model, evaluate(model, retain))
    wanted = list(log["mia_loss"]["holdout"]["value_by_index"])
    assert wanted[0] == "7" and list(log["mia_reference"]["holdout"]["value_by_index"]) == wanted
    again = evaluate(from_log(log, where="log"), retain)
    assert again.values["mia_reference"].value == evaluate(model, retain).values["mia_reference"].value


def test_an_export_of_what_is_absent_leaves_it_out(make_samples):
    model = from_samples(make_samples(1, holdout=False).assign(clean=np.nan), where="x")
    results = evaluate(model, None, alone=True)
    log = to_log(model, results)
    assert not [name for name in log if name.startswith("mia_") or name in ("privleak", "forget_quality")]
    assert "forget_Q_A_gibberish" not in log
    again = evaluate(from_log(log, where="log"), None, alone=True)
    kept = {n: v for n, v in numbers(results).items() if n not in NOT_IN_LOGS["tofu"]}
    assert numbers(again) == kept


def test_an_export_holds_the_texts_under_the_logs_names(pair, exported, frames, kind):
    section, entry = ("forget", "forget_Q_A_ROUGE") if kind == "tofu" else ("verbmem", "forget_verbmem_ROUGE")
    rows = frames[0][(frames[0]["section"] == section) & (frames[0]["candidate"] == "answer")].set_index("index")
    for index, sample in exported[0][entry]["value_by_index"].items():
        row = rows.loc[int(index)]
        told = [sample[name] for name in ("input", "ground_truth", "generation")]
        assert told == [row["question"], row["text"], row["generation"]]


def test_a_published_log_exported_is_itself(any_log, logs):
    """Every per-sample number and every aggregate of a log comes out of its own export again."""
    content = any_log.content
    evidence = from_log(content, where="log")
    muse = any("verbmem" in name for name in content)
    size = len(content["exact_memorization"]["value_by_index"])
    retain = from_log(logs["news, retrain" if muse else f"retain{100 - size // 40}"].content, where="retain")
    alone = "mia_reference" not in content
    again = to_log(evidence, evaluate(evidence, None if alone else retain, alone=alone))
    for name, entry in content.items():
        if not isinstance(entry, dict):
            continue
        if entry == {"agg_value": None}:
            assert name not in again
            continue
        parts = [(again[name], entry)]
        if name.startswith("mia_"):
            parts = [(again[name][side], entry[side]) for side in ("forget", "holdout")]
            assert again[name]["auc"] == pytest.approx(entry["auc"], rel=1e-12)
            assert again[name]["agg_value"] == again[name]["auc"]
        for ours, theirs in parts:
            assert list(ours.get("value_by_index", {})) == list(theirs.get("value_by_index", {})), name
            for index, sample in theirs.get("value_by_index", {}).items():
                for key, value in sample.items():
                    assert ours["value_by_index"][index][key] == pytest.approx(value, rel=1e-12), name
            if "mia_" not in name:
                assert ours["agg_value"] == pytest.approx(theirs["agg_value"], rel=1e-12, abs=1e-12), name


def test_a_partial_log_can_be_exported(tofu, tofu_retain):
    for name in ("wf_Q_A_PERT_Prob", "retain_Q_A_PARA_Prob", "forget_Q_A_PERT_Prob"):
        content = {key: value for key, value in tofu.items() if key != name}
        evidence = from_log(content, where="log")
        log = to_log(evidence, evaluate(evidence, tofu_retain))
        assert name not in log
        assert "exact_memorization" in log


# ours and others' together


def test_our_model_against_a_published_retain_log_of_the_same_rows(pair, exported):
    model, retain = pair
    mixed = evaluate(model, from_log(exported[1], where="log"))
    assert numbers(mixed) == numbers(evaluate(model, retain))


def test_a_published_model_against_our_retain_model(kind, pair, exported):
    model, retain = pair
    mixed, ours = evaluate(from_log(exported[0], where="log"), retain), numbers(evaluate(model, retain))
    assert numbers(mixed) == {name: ours[name] for name in ours if name not in NOT_IN_LOGS[kind]}


def test_our_evidence_against_the_published_retain_model(logs, rouge_texts, shared, make_samples):
    """Of forget01: white space aside, the true answers are compared where the log has its texts."""
    content = copy.deepcopy(logs["retain99"].content)
    for index, sample in rouge_texts["retain99"]["forget_Q_A_ROUGE"].items():
        content["forget_Q_A_ROUGE"]["value_by_index"][index] |= {k: sample[k] for k in ("ground_truth", "generation")}
    answers = [json.loads(s)["answer"] for s in (shared / "data/tofu/forget01.json").read_text().splitlines()]
    ours = make_samples(1, n=40, wrong=5, holdout=False)
    rows = (ours["section"] == "forget") & (ours["candidate"] == "answer")
    ours.loc[rows, "text"] = answers
    retain = from_log(content, where="retain99.json")
    results = evaluate(from_samples(ours, where="ours"), retain)
    assert 0 <= results.values["forget_quality"].value <= 1
    assert results.values["forget_quality"].parts[1].tolist() == ratios(retain, "forget").tolist()
    wrong = ours.copy()
    wrong.loc[rows & (wrong["index"] == 17), "text"] = "Another answer."
    with refused("other-rows", "retain99.json: text of section 'forget' index 17", "'Another answer.' in ours"):
        evaluate(from_samples(wrong, where="ours"), retain)


def test_a_retain_log_of_other_rows_is_refused(frames, exported, put, kind):
    section = "forget" if kind == "tofu" else "holdout"
    fewer = frames[0][frames[0]["index"] < 11]
    retain = from_log(exported[1], where="log.json")
    with refused("other-rows", "log.json: 12 samples in section 'forget'", "ours has 11"):
        evaluate(from_samples(fewer, where="ours"), retain)
    other = put(frames[0], section=section, text="something else")
    if kind == "tofu":
        with refused("other-rows", "log.json: text of section 'forget' index 3 candidate 'answer'"):
            evaluate(from_samples(other, where="ours"), retain)


def test_another_split_and_another_benchmark(logs):
    evidence = {name: from_log(log.content, where=name) for name, log in logs.items()}
    with refused("other-rows", "retain90: 400 samples in section 'forget'", "full, forget01 has 40"):
        evaluate(evidence["full, forget01"], evidence["retain90"])
    with refused("other-kind", "news, retrain: of muse", "full, forget01 is of tofu"):
        evaluate(evidence["full, forget01"], evidence["news, retrain"])
    with refused("other-kind", "retain99: of tofu", "news, target is of muse"):
        evaluate(evidence["news, target"], evidence["retain99"])


def test_a_retain_log_without_attacks(pair, exported):
    """Logs of retain models often hold the forget truth ratios alone: PrivLeak is then absent, the rest is not."""
    lean = {name: entry for name, entry in exported[1].items() if not name.startswith("mia_")}
    results = evaluate(pair[0], from_log(lean, where="lean.json"))
    assert set(results.absent) == {"privleak", "mia_reference"}
    assert all("lean.json" in reason or "retain model's evidence" in reason for reason in results.absent.values())


def test_a_lean_retain_log_of_a_published_model(logs):
    keep = ("forget_Q_A_PARA_Prob", "forget_Q_A_PERT_Prob", "forget_truth_ratio")
    model, lean = logs["full, forget01"].content, {name: logs["retain99"].content[name] for name in keep}
    results = evaluate(from_log(model, where="log"), from_log(lean, where="lean.json"))
    assert results.values["forget_quality"].value == model["forget_quality"]["agg_value"]
    assert set(results.absent) >= {"privleak"}


def test_a_holdout_of_other_rows(pair, exported):
    """Whether PrivLeak alone reads it, the log having reference scores of its own, or the reference attack too."""
    fewer = copy.deepcopy(exported[1])
    for attack in fewer:
        if attack.startswith("mia_"):
            fewer[attack]["holdout"]["value_by_index"].pop("3")
    retain = from_log(fewer, where="log.json")
    for model in (pair[0], from_log(exported[0], where="ours")):
        with refused("other-rows", "log.json: 11 samples in section 'holdout'", "ours has 12"):
            METRICS["privleak"].define(model, retain)


# broken files


def test_files_that_are_no_logs(tmp_path, exported):
    whole = json.dumps(exported[0]).encode()
    packed = gzip.compress(whole)
    cases = {
        "cut.json": (whole[: len(whole) // 2], "not-json"),
        "cut.json.gz": (packed[: len(packed) // 2], "not-json"),
        "spoilt.json.gz": (packed[:200] + b"\0" * 50 + packed[250:], "not-json"),
        "plain.json.gz": (whole, "not-json"),
        "packed.json": (packed, "not-json"),
        "empty.json": (b"", "not-json"),
        "empty.json.gz": (b"", "not-json"),
        "bytes.json": (b"\xff\xfe{}", "not-json"),
        "twice.json": (b'{"a": {"agg_value": 1, "value_by_index": {"0": 1, "0": 2}}}', "not-json", "'0' stands twice"),
        "list.json": (b"[1, 2]", "no-evaluation-log"),
        "none.json": (b"null", "no-evaluation-log"),
        "nothing.json": (b"{}", "no-evaluation-log"),
        "summary.json": (b'{"forget_quality": 0.5, "model_utility": 0.6}', "no-evaluation-log"),
        "ours.json": (b'{"run": "a", "metrics": {"forget_quality": 0.5}}', "no-evaluation-log"),
    }
    for name, (data, code, *facts) in cases.items():
        (tmp_path / name).write_bytes(data)
        with refused(code, tmp_path / name, *facts):
            read_log(tmp_path / name)
    with refused("file-not-there", tmp_path / "absent.json"):
        read_log(tmp_path / "absent.json")
    with refused("no-evaluation-log", tmp_path):
        read_log(tmp_path)


def samples_of(content, *keys):
    for key in keys:
        content = content[key]
    return content["value_by_index"]


ENTRIES = {  # entry -> (its keys, the value's key, a metric that reads it)
    "loss": (("forget_Q_A_PARA_Prob",), "avg_loss", "forget_truth_ratio"),
    "losses": (("retain_Q_A_PERT_Prob",), "avg_loss", "retain_truth_ratio"),
    "probability": (("forget_Q_A_Prob",), "prob", "forget_probability"),
    "ROUGE": (("forget_Q_A_ROUGE",), "rougeL_recall", "forget_rouge"),
    "memorisation": (("exact_memorization",), "score", "exact_memorization"),
    "attack": (("mia_min_k", "holdout"), "score", "mia_min_k"),
}
SPOILT = [
    math.nan,
    math.inf,
    "high",
    "0.5",
    True,
    {"value": 1.0},
    [[0.1, 0.2]],
    [],
    ["a"] * 5,
    [0.1, None, 0.1, 0.1, 0.1],
    [0.1] * 9,
]


def spoilt(log, entry, retain, code, *facts):
    """A metric that reads the entry is refused in one line that names it."""
    keys, _, metric = ENTRIES[entry]
    with refused(code, f"log.json: {'.'.join(keys)}: ", *facts):
        METRICS[metric].define(from_log(log, where="log.json"), retain)


@pytest.mark.parametrize("entry", ENTRIES)
def test_values_that_no_sample_can_have(tofu, tofu_retain, entry):
    """One is no number, or a number where others have a list and the reverse, or not there; all are null, or of another kind."""
    keys, key, _ = ENTRIES[entry]
    samples = samples_of(tofu, *keys)
    a_list = isinstance(samples["17"][key], list)
    for value in (*SPOILT, 0.5 if a_list else [0.5]):
        samples["17"][key] = value
        spoilt(tofu, entry, tofu_retain, "not-a-number", 17)
    del samples["17"][key]
    spoilt(tofu, entry, tofu_retain, "value-missing", 17, key)
    for value, code in ((None, "no-values"), (0.5 if a_list else [0.5, 0.25], "not-a-number")):
        for sample in samples.values():
            sample[key] = value
        spoilt(tofu, entry, tofu_retain, code, key)


@pytest.mark.parametrize("entry", ENTRIES)
def test_samples_that_are_no_samples(tofu, tofu_retain, entry):
    """`017` is the number of a sample that is there already."""
    holder = tofu
    for key in ENTRIES[entry][0]:
        holder = holder[key]
    samples = holder["value_by_index"]
    for name in ("x", "-1", "1.0", "", "017"):
        holder["value_by_index"] = samples | {name: samples["17"]}
        spoilt(tofu, entry, tofu_retain, "sample-number-missing", f"'{name}'")
    for other in ([1, 2], {"0": 0.5}, {"0": None}, "abc", 3):
        holder["value_by_index"] = other
        spoilt(tofu, entry, tofu_retain, "log-ill-formed")


def test_an_entry_that_is_not_there(tofu, tofu_retain):
    """Its metrics are absent, and say why; the others stay as they are."""
    before = numbers(evaluate(from_log(tofu, where="log.json"), tofu_retain))
    for keys, _, metric in ENTRIES.values():
        log = copy.deepcopy(tofu)
        holder = log
        for part in keys[:-1]:
            holder = holder[part]
        del holder[keys[-1]]
        results = evaluate(from_log(log, where="log.json"), tofu_retain)
        assert ".".join(keys) in results.absent[metric] and "log.json" in results.absent[metric]
        assert numbers(results) == {name: value for name, value in before.items() if name in results.values}
        assert set(results.absent) >= set(before) - set(results.values)


@pytest.mark.parametrize("name", ["forget_Q_A_PERT_Prob", "retain_Q_A_PARA_Prob", "wf_Q_A_PERT_Prob", "ra_Q_A_Prob"])
def test_a_sample_that_one_entry_lacks(tofu, tofu_retain, name):
    """Other entries of the section have it: its truth ratio could not be made, and is not passed over."""
    del samples_of(tofu, name)["17"]
    with refused("samples-differ", "log.json", 17):
        evaluate(from_log(tofu, where="log.json"), tofu_retain)


def test_values_out_of_their_range(tofu, tofu_retain):
    """Per cent for shares, say; a loss of the wrong sign."""
    cases = {"ROUGE": 99.0, "probability": 60.0, "memorisation": -50.0, "loss": -0.5}
    for entry, value in cases.items():
        keys, key, _ = ENTRIES[entry]
        log = copy.deepcopy(tofu)
        samples_of(log, *keys)["17"][key] = value
        spoilt(log, entry, tofu_retain, "number-out-of-range", f"{key} of sample 17", value)


def test_what_single_precision_does_is_let_pass(tofu, tofu_retain):
    samples_of(tofu, "forget_Q_A_Prob")["17"] |= {"prob": 1.0000001, "avg_loss": -1e-7}
    assert "forget_probability" in evaluate(from_log(tofu, where="log.json"), tofu_retain).values


# nulls


def test_nulls_are_left_out_of_a_mean(tofu, tofu_retain):
    """An answer that a tokenizer left without a token: null, and in no mean, as in the log's own aggregates."""
    plain = evaluate(from_log(tofu, where="log"), tofu_retain)
    for name, key in (
        ("extraction_strength", "score"),
        ("forget_Q_A_ROUGE", "rougeL_recall"),
        ("forget_Q_A_Prob", "prob"),
    ):
        samples_of(tofu, name)["17"][key] = None
    results = evaluate(from_log(tofu, where="log"), tofu_retain)
    for metric in ("extraction_strength", "forget_rouge", "forget_probability"):
        before = plain.values[metric].per_sample
        assert results.values[metric].value == np.mean(before.drop(17).to_numpy())
        assert results.values[metric].per_sample.index.tolist() == [i for i in range(40) if i != 17]
    assert numbers(plain)["forget_truth_ratio"] == results.values["forget_truth_ratio"].value


def test_a_null_loss_leaves_its_ratio_out_of_both_aggregates(tofu, tofu_retain):
    plain = evaluate(from_log(tofu, where="log"), tofu_retain)
    samples_of(tofu, "forget_Q_A_PARA_Prob")["17"].update(avg_loss=None, prob=None)
    samples_of(tofu, "ra_Q_A_PERT_Prob")["5"].update(avg_loss=None, prob=None)
    results = evaluate(from_log(tofu, where="log"), tofu_retain)
    for metric, gone in (
        ("forget_truth_ratio", 17), ("real_authors_truth_ratio", 5), ("real_authors_probability", 5)
    ):  # fmt: skip
        before = plain.values[metric].per_sample.drop(gone)
        pd.testing.assert_series_equal(results.values[metric].per_sample, before)
        assert results.values[metric].value == np.mean(before.to_numpy())
    quality = results.values["forget_quality_d"]
    assert quality.parts == (), "39 of 40 against 40: no interval of pairs would be that of this value"
    utility = results.values["model_utility"]
    assert [part.shape for part in utility.parts] == [(3, 40), (3, 39), (3, 40)]


def test_nulls_of_an_attack(tofu, tofu_retain):
    samples_of(tofu, "mia_loss", "forget")["17"]["score"] = None
    value = evaluate(from_log(tofu, where="log"), tofu_retain).values["mia_loss"]
    assert [len(part) for part in value.parts] == [39, 40]


def test_null_aggregates_are_not_told(tofu, logs):
    assert aggregates(tofu) == {
        "model_utility": 0.5,
        **{name: 0.5 for name in names("tofu") if name.startswith("mia_")},
    }
    told = aggregates(logs["retain99"].content)
    assert "forget_quality" not in told
    assert told["model_utility"] == logs["retain99"].aggregate("model_utility")
    assert set(aggregates(logs["full, forget01"].content)) == {*names("tofu")} - {"fluency"}


def test_an_aggregate_that_is_no_number(tofu):
    for other in ("high", "0.5", [0.5], {"value": 1}, True):
        tofu["model_utility"]["agg_value"] = other
        with refused("not-a-number", "model_utility"):
            aggregates(tofu)


def test_an_entry_of_another_shape_tells_nothing(tofu):
    for other in (0.5, None, [1]):
        assert "model_utility" not in aggregates({**tofu, "model_utility": other})


# further columns


def test_what_logs_do_not_hold(tofu):
    evidence = from_log(tofu, where="log")
    for section, column in (("forget", "rouge1_f1"), ("retain", "clean"), ("holdout", "answer_loss")):
        with pytest.raises(Absent, match=f"published logs have no {column} of {section}"):
            evidence.column(section, column)
    with pytest.raises(Absent, match="no generations"):
        evidence.column("forget", "repetition")
    with refused("unknown-section", "'verbmem' in log"):
        evidence.column("verbmem", "rougeL_f1")


def test_collapse_of_a_log_with_texts(tofu, tofu_retain):
    told = [" ".join(["no"] * count) for count in range(40)]
    for sample, text in zip(samples_of(tofu, "forget_Q_A_ROUGE").values(), told, strict=True):
        sample |= {"ground_truth": "yes", "generation": text}
    results = evaluate(from_log(tofu, where="log"), tofu_retain)
    assert results.values["forget_length"].per_sample.tolist() == list(range(40))
    assert results.values["forget_repetition"].per_sample[5] == 0.5
    assert results.absent["retain_length"] == "the log has no generations (log)"
    samples_of(tofu, "forget_Q_A_ROUGE")["3"]["generation"] = None
    assert "forget_length" in evaluate(from_log(tofu, where="log"), tofu_retain).absent


def test_samples_in_any_order(tofu, tofu_retain):
    """A log whose samples stand in another order says the same, to the order of a sum."""
    plain = numbers(evaluate(from_log(tofu, where="log"), tofu_retain))
    for entry in tofu.values():
        parts = [entry] if not isinstance(entry, dict) else [entry, *(v for v in entry.values() if isinstance(v, dict))]
        for part in parts:
            if isinstance(part, dict) and "value_by_index" in part:
                part["value_by_index"] = dict(reversed(part["value_by_index"].items()))
    assert numbers(evaluate(from_log(tofu, where="log"), tofu_retain)) == pytest.approx(plain, rel=1e-12)
    ours = evaluate(from_log(tofu, where="log"), tofu_retain).values["forget_quality"]
    theirs = ratios(tofu_retain, "forget")
    assert ours.parts[1].tolist() == theirs[::-1].tolist(), "pairs of one sample stand at one place"
