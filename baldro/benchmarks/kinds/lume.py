"""LUME (Ramakrishna et al. 2025, arXiv 2502.15097), SemEval-2025 Task 4: invented documents, invented people's data, real biographies."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from baldro.benchmarks.apart import apart, doubles
from baldro.benchmarks.definition import MEMBERSHIP, Definition, OwnMetric, Places, Score, Splits
from baldro.benchmarks.harness import Column
from baldro.benchmarks.rows import Table
from baldro.benchmarks.section import Section
from baldro.errors import BaldroError, unknown
from baldro.records.benchmark import Rows, frame_of

if TYPE_CHECKING:
    import pandas as pd

TASKS = {"task1": "invented documents", "task2": "invented people's data", "task3": "real biographies"}
FORMS = {"sc": "completions", "qa": "questions"}
"""End of a row's id, before its number -> what the row is: a passage to be continued, or a question."""
SIDES = ("forget", "retain")
GROUPS = [(side, task, form) for side in SIDES for task in TASKS for form in FORMS.values()]
"""What is asked and measured apart: the section {side}_{task}_{form}."""
PUBLISHED = {"forget": 2732, "retain": 2734}
"""Rows of amazon-science/lume-llm-unlearning, in which the shared task's parts are joined."""
MEMBERS = ("member", "nonmember")
"""Documents of the membership attack: mia_data/member.jsonl and so on."""
SOURCE = "Ramakrishna et al. 2025, arXiv 2502.15097"
SHARED = f"SemEval-2025 Task 4 ({SOURCE})"
_ASKED = dict(prompt="{question}", between=" ", end=False)
_DOCUMENT = dict(prompt="{question}", generate=False, membership=True, end=False, optional=True)
_SHOWN = ("comparison", "sentence", "effect", "strength figure")


def _together(sections: Sequence[str], column: str, evidence: Any) -> "pd.Series":
    """A column of some sections, one after the other."""
    import pandas as pd

    return pd.concat([evidence.column(section, column) for section in sections], ignore_index=True)


def _metric(side: str, form: str, tasks: Sequence[str], place: float | None = None) -> OwnMetric:
    """Regurgitation or knowledge of some tasks' rows of one side, all rows together."""
    sort, column, told = {
        "completions": ("regurgitation", "rougeL_recall", "ROUGE-L recall of completions"),
        "questions": ("knowledge", "exact_match", "exact answers"),
    }[form]
    one = tasks[0] if len(tasks) == 1 else ""
    roles = [*_SHOWN, *["memory"] * (side == "forget")]
    roles += [f"trade-off figure, {'y' if side == 'forget' else 'x'}"] * (form == "completions")
    return OwnMetric(
        name="_".join(filter(None, ("lume", sort, side, one))),
        label=f"{told}, {side}{f', {TASKS[one]}' if one else ''}", short=f"{sort[:3].title()} {side[0].upper()}{one[-1:]}",
        better="down" if side == "forget" else "up", source=f"{SOURCE}; the shared task's evaluation script",
        shown=dict.fromkeys(roles, place) if place else {},
        values=partial(_together, [f"{side}_{task}_{form}" for task in tasks], column),
    )  # fmt: skip


_TERMS = tuple(_metric(side, form, [task]) for side, task, form in GROUPS)
_SCORES = (
    OwnMetric(
        name="lume_aggregate", label="LUME's task aggregate", short="LUME", better="up", source=f"{SHARED}: harmonic mean of twelve rates",
        values=Score("harmonic mean", tuple(own.name for own in _TERMS)),
    ),
    OwnMetric(
        name="lume_mia_score", label="LUME's MIA score", short="MIA", better="up", source=f"{SHARED}: 1 - 2 |AUC - 0.5|",
        values=Score("distance from chance", ("mia_loss",)),
    ),
    OwnMetric(
        name="lume_final", label="LUME's final score", short="final", better="up", source=f"{SHARED}: mean of both and MMLU",
        values=Score("mean", ("lume_aggregate", "lume_mia_score", Column.of("mmlu").name)),
    ),
)  # fmt: skip
"""By what the shared task ranked. The last needs MMLU's accuracy, which the key `lm_eval` has asked for."""


class Benchmark(Definition):
    """Passages to be continued and questions, of three tasks; half of the documents are to be forgotten."""

    sections: ClassVar[tuple[Section, ...]] = (
        *(
            Section(name="_".join(group), split="_".join(group), likelihood=group[-1] == "completions", **_ASKED)
            for group in GROUPS
        ),
        Section(name="forget", split="member", **_DOCUMENT),
        Section(name="holdout", split="{holdout}", **_DOCUMENT),
    )
    own_metrics: ClassVar[tuple[OwnMetric, ...]] = (
        *(
            _metric(side, form, tuple(TASKS), 41 + 2 * SIDES.index(side) + (form == "questions"))
            for side in SIDES
            for form in FORMS.values()
        ),
        *_TERMS,
        *_SCORES,
    )
    columns: ClassVar[tuple[str, ...]] = (
        "lume_aggregate",
        *(f"lume_{sort}_{side}" for side in SIDES for sort in ("regurgitation", "knowledge")),
        *("lume_mia_score", "lume_final"),
    )
    metrics: ClassVar[tuple[str, ...]] = (*(own.name for own in own_metrics), *MEMBERSHIP)
    compared: ClassVar[tuple[tuple[str, str], ...]] = tuple(
        (f"forget_{task}_completions", "answer_loss") for task in TASKS
    )

    kind: Literal["lume"] = Field(description="LUME, the benchmark of SemEval-2025 Task 4.")
    source: Places = Field(
        description="Where the rows are: a folder laid out as amazon-science/lume-llm-unlearning (data/forget.jsonl, data/retain.jsonl) or "
        "as the shared task's data set (data/forget_train-00000-of-00001.parquet and so on), or that data set on the hub."
    )
    part: Literal["all", "train", "validation"] = Field(
        "all",
        description="A part of the shared task's rows; all: of the first folder everything, on the hub both parts that are public.",
    )
    membership: Places | None = Field(
        None,
        description="Where the documents of the membership attack are: a folder of mia_data/member.jsonl and mia_data/nonmember.jsonl, as "
        "in the shared task's data set. Without it the metrics mia_* and lume_mia_score are absent.",
    )
    forget: Splits = Field(
        description="forget (all that is to be forgotten), task1, task2 or task3 (that of one task alone) -> retain. All three tasks are "
        "asked about in any case."
    )

    @field_validator("forget")
    @classmethod
    def _all_or_a_task(cls, forget: dict[str, str]) -> dict[str, str]:
        for name, retain in forget.items():
            if name not in ("forget", *TASKS) or retain != "retain":
                said = f"is {name}: {retain}; allowed: forget, {', '.join(TASKS)}, each with retain"
                raise BaldroError("forget-splits-wrong", said)
        return forget

    def held_out(self, split: str) -> str | None:
        return "nonmember" if self.membership else None

    def tables(self) -> Mapping[str, Table]:
        layout = "amazon-science/lume-llm-unlearning, data/forget.jsonl and data/retain.jsonl"
        rows = partial(Table, self.source, "LUME's rows", layout, needed=("id", "input", "output", "task"))
        parts, end = (["train", "validation"], "") if self.part == "all" else ([self.part], f"_{self.part}")
        found = {
            side: rows(f"data/{side}{end}.jsonl", "default", "+".join(f"{side}_{part}" for part in parts))
            for side in SIDES
        }
        what, layout = "LUME's documents of the membership attack", "the shared task's data set, mia_data/*.jsonl"
        for name in MEMBERS if self.membership else ():
            file = f"mia_data/{name}.jsonl"
            found[name] = Table(self.membership, what, layout, file, "", name, ("document",))
        return found

    def load(self) -> "pd.DataFrame":
        """Training rows in `full`, `retain` and the forget splits, their answers behind a space; what is asked in splits of its own."""
        tables = self.tables()
        source, sides = tables["forget"].source, {side: _sorted(tables[side]) for side in SIDES}
        notes = _doubts(sides, source, whole=self.part == "all")
        learnt = {name: [r for r in sides["forget"] if name in ("forget", r["task"])] for name in self.forget}
        learnt |= {"retain": sides["retain"], "full": sides["forget"] + sides["retain"]}
        splits = {name: [_row(row, " ") for row in own] for name, own in learnt.items()}
        for side, task, form in GROUPS:
            group = [_row(row) for row in sides[side] if (row["task"], row["form"]) == (task, form)]
            if not group:
                said = f"{source}: {side} has no {form} of {task}; allowed: some of each task (is a file cut short?)"
                raise BaldroError("no-row-left", said)
            splits[f"{side}_{task}_{form}"] = group
        if self.membership and (place := tables["member"].source).path is None:
            raise BaldroError("local-file-needed", f"membership: {place} is on the hub; allowed: a local folder")
        documents = {name: tables[name].rows() for name in MEMBERS if name in tables}
        splits |= {n: [{"question": "", "answer": row["document"]} for row in own] for n, own in documents.items()}
        return frame_of(splits, notes)


def _sorted(table: Table) -> Rows:
    """A side's rows, with `task` as in TASKS and `form` as in FORMS."""
    found = []
    for where, row in table.placed():
        task, form = row["task"].lower(), re.search(rf"({'|'.join(FORMS)})\d+$", row["id"])
        if task not in TASKS:
            raise unknown("task", row["task"], [name.title() for name in TASKS], where=where)
        if not form:
            said = f"{where}: id is {row['id']!r}; allowed: one that ends in sc (a completion) or qa (a question) and a number"
            raise BaldroError("id-without-form", said)
        found.append({**row, "task": task, "form": FORMS[form[1]]})
    return found


def _row(row: dict, between: str = "") -> dict:
    return {"question": row["input"], "answer": between + row["output"]}


def _doubts(sides: Mapping[str, Rows], source: object, *, whole: bool) -> list[str]:
    """Notes on rows of both sides, rows that are there twice, and sides of another size than published."""
    pairs = {side: [(row["input"], row["output"]) for row in own] for side, own in sides.items()}
    told, allowed = "of forget are also in retain", "rows that are forgotten or retained, not both"
    notes = apart(pairs["forget"], pairs["retain"], told, where=source, allowed=allowed)
    notes += [note for side in SIDES for note in doubles(side, pairs[side], where=source)]
    odd = [side for side in SIDES if whole and len(sides[side]) != PUBLISHED[side]]
    return notes + [f"{source}: {s} has {len(sides[s])} rows of {PUBLISHED[s]} (is a file cut short?)" for s in odd]
