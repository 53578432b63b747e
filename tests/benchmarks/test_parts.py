"""Forget splits cut into requests: TOFU's rows and invented ones."""

import pytest
from refusals import refused

from baldro import benchmarks as data
from baldro.benchmarks import define

TEN = [f"part{i:02d}" for i in range(1, 11)]
FICTIONAL = dict(kind="fictional", authors=10, questions=3, known_authors=4, background_authors=2, world_facts=4)
FORGET = {"request1": "retain60", "request2": "retain60"}
TEXTS = ["question", "answer", "paraphrased_answer", "alternate_answer"]


def texts(frame, *splits):
    return [row for split in splits for row in data.split(frame, split)[TEXTS].itertuples(index=False, name=None)]


def test_tofus_ten_requests_are_the_rows_of_forget10_in_order(shared):
    tofu = dict(kind="tofu", source=[str(shared / "data/tofu")])
    whole = data.build(tofu | dict(forget={"forget10": "retain90"}))
    frame = data.build(tofu | dict(forget=dict.fromkeys(TEN, "retain90"), parts={"forget10": TEN}))
    for form in ("{}", "{}_perturbed"):
        assert texts(frame, *map(form.format, TEN)) == texts(whole, form.format("forget10"))
        assert all(list(data.split(frame, form.format(part))["index"]) == [*range(40)] for part in TEN)
    assert "forget10" not in set(frame["split"]) and texts(frame, "retain90", "full") == texts(
        whole, "retain90", "full"
    )


@pytest.mark.parametrize("also", [{}, {"forget40": "retain60"}])
def test_invented_requests_have_the_sizes_that_the_plan_is_told(also):
    benchmark = define(FICTIONAL | dict(forget=FORGET | also, parts={"forget40": [*FORGET]}))
    frame = benchmark.load()
    assert frame.groupby("split").size().to_dict() == benchmark.sizes()
    assert ("forget40" in set(frame["split"])) == bool(also)
    assert benchmark.held_out("request2") == "holdout40" and len(data.split(frame, "request2")) == 6
    whole = define(FICTIONAL | dict(forget={"forget40": "retain60"})).load()
    assert texts(frame, *FORGET) == texts(whole, "forget40")


@pytest.mark.parametrize(
    ("options", "code", "fact"),
    [
        (dict(forget=FORGET, parts={"forget40": ["request1", "request3"]}), "parts-ill-formed", "request3"),
        (dict(forget=FORGET, parts={"forget40": ["request1", "request1"]}), "parts-ill-formed", "each once"),
        (
            dict(forget=FORGET | {"request2": "retain70"}, parts={"forget40": [*FORGET]}),
            "parts-ill-formed",
            "one retain",
        ),
        (
            dict(forget=FORGET | {"full": "retain60"}, parts={"forget40": [*FORGET, "full"]}),
            "split-name-taken",
            "'full'",
        ),
        (
            dict(authors=5, forget=dict.fromkeys("ab", "retain80"), parts={"forget20": ["a", "b"]}),
            "parts-uneven",
            "3 rows",
        ),
        (
            dict(kind="tofu", source=["."], forget=FORGET, parts={"forget40": [*FORGET]}, holdout={"request1": "h"}),
            "unknown-forget-split",
            "forget40",
        ),
    ],
)
def test_parts_that_are_none_are_refused(options, code, fact):
    fields = {} if options.get("kind") == "tofu" else FICTIONAL
    with refused(code, fact):
        define({**fields, **options})
