"""Tasks of lm-evaluation-harness, asked of the model in memory by that package itself: its prompts, answers and scores of each question.

The package is loaded only where a benchmark's entry has `lm_eval`.
"""

import copy
import io
import logging
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd
from torch import nn

from baldro.benchmarks.harness import Column, Harness
from baldro.durable.progress import Progress
from baldro.errors import BaldroError, fits, unknown
from baldro.places import resolve
from baldro.prompts.prompt import Prompt
from baldro.prompts.template import dated

ANSWERS = ("metric", "index", "question", "text", "generation", "score")
MEAN = "a mean over questions of which more is better"


def tasks(asked: Harness) -> dict[Column, list[Any]]:
    """Each column's task, or the tasks of its group, loaded with their data; metric and filter are filled in.

    Raises:
        BaldroError: no task or group of such a name; a metric or filter that a task has not, or that is no mean over questions of which
            more is better; data that are not there.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager = _manager(asked.include_path, tuple(column.task for column in asked.columns))
    return {replace(column, **names): leaves for column in asked.columns for names, leaves in [_load(manager, column)]}


@cache
def _manager(include_path: str | None, names: tuple[str, ...]) -> Any:
    """The index of tasks: of a folder alone, if all are there, for the package's own are thousands of files."""
    from lm_eval.tasks import TaskManager

    if include_path is None:
        return TaskManager()
    folder = str(resolve([include_path], what="lm_eval.include_path").path)
    own = TaskManager(include_path=folder, include_defaults=False)
    return own if set(names) <= set(own.task_index) else TaskManager(include_path=folder)


def _load(manager: Any, column: Column) -> tuple[dict[str, str], list[Any]]:
    """(metric and filter, tasks) of a column."""
    name = column.task
    if name not in manager.task_index:
        raise unknown("task", name, manager.task_index, where="lm_eval")
    try:
        loaded = manager.load(name)
    except Exception as error:  # a task may run any code, and its data come from anywhere
        said = f"lm_eval: task {name} cannot be loaded ({type(error).__name__}: {error}); allowed: tasks whose data are on this machine "
        raise BaldroError("task-not-loaded", said + "or, for `baldro tasks`, can be brought") from error
    group, leaves = loaded["groups"].get(name), list(loaded["tasks"].values())
    if group is None and name not in loaded["tasks"]:
        said = f"lm_eval: {name} is a tag of {len(leaves)} tasks without a result of its own"
        raise BaldroError("task-is-a-tag", f"{said}; allowed: {', '.join(loaded['tasks'])}")
    metric = column.metric or next(iter(leaves[0].aggregation()), "")
    filtered = column.filter or _filters(leaves[0])[0]
    for task in leaves:
        _check(task, metric, filtered)
    if group is not None:
        _check_group(group, metric)
    return dict(metric=metric, filter=filtered), leaves


def _filters(task: Any) -> list[str]:
    return [each["name"] for each in task.config.filter_list or [{"name": "none"}]]


def _check(task: Any, metric: str, filtered: str) -> None:
    """Whether a task has a metric and a filter, and the metric is a mean of what is better the larger it is."""
    from lm_eval.api.metrics import mean

    where, found = f"lm_eval: task {task.task_name}", task.aggregation()
    if metric not in found:
        raise unknown("metric", metric, found, where=where)
    if filtered not in _filters(task):
        raise unknown("filter", filtered, _filters(task), where=where)
    if found[metric] is not mean or not task.higher_is_better().get(metric):
        fine = [name for name in found if found[name] is mean and task.higher_is_better().get(name)]
        raise BaldroError(
            "metric-no-mean", f"{where}: {metric} is not {MEAN}; allowed: {', '.join(fine) or 'another task'}"
        )


def _check_group(group: Any, metric: str) -> None:
    """Whether a group's metric is the mean over all its questions."""
    listed = [each for each in group.aggregate_metric_list or () if each.metric == metric]
    if not any(each.weight_by_size and each.aggregation == "mean" for each in listed):
        said = f"lm_eval: {metric} of group {group.name} is not the mean over the questions of all its tasks"
        raise BaldroError("metric-no-mean", f"{said}; allowed: its tasks: {', '.join(group.child_names)}")


@fits("a smaller batch_size in the benchmark's lm_eval, or a GPU with more memory")
def ask(
    model: nn.Module,
    tokenizer: Any,
    prompt: Prompt,
    asked: Harness,
    *,
    label: str = "score",
    check: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """What the harness gives for each question, metric by metric.

    Args:
        prompt: the model's own, whose chat template is taken if `apply_chat_template` says so.
        check: called before each forward pass, to end here.

    Returns: ANSWERS: the metric's name; the question's place among those of its task or group; the first prompt; the right answer; what
        the model said where it was to say something; the score.
    """
    from lm_eval import simple_evaluate

    columns = tasks(asked)
    own = {task.task_name: task for leaves in columns.values() for task in leaves}
    chat = asked.apply_chat_template and prompt.chat
    held = _held(model, tokenizer, prompt if chat else None, asked.batch_size, label, check)
    with redirect_stderr(io.StringIO()):  # its own bars of progress
        said = simple_evaluate(
            model=held,
            tasks=list(own.values()),
            task_manager=_manager(asked.include_path, tuple(column.task for column in asked.columns)),
            num_fewshot=asked.num_fewshot,
            limit=asked.limit,
            bootstrap_iters=0,
            apply_chat_template=chat,
            system_instruction=prompt.system if chat else None,
        )
    rows = [
        row
        for column, leaves in columns.items()
        for row in _rows(column, [t.task_name for t in leaves], said["samples"])
    ]
    return pd.DataFrame(rows, columns=ANSWERS)


def _rows(column: Column, names: Sequence[str], samples: dict[str, list[dict[str, Any]]]) -> list[tuple[Any, ...]]:
    """A column's questions, in order."""
    kept = [each for name in names for each in sorted(samples[name], key=lambda sample: sample["doc_id"])
            if each["filter"] == column.filter]  # fmt: skip
    rows = []
    for index, sample in enumerate(kept):
        if column.metric not in sample:  # some tasks leave a question out of a metric
            continue
        score = float(sample[column.metric])
        if not math.isfinite(score):
            said = f"lm_eval: {column.metric} of question {sample['doc_id']} of {column.task} is {score}"
            raise BaldroError("not-finite", f"{said}; allowed: a finite number")
        asked, right, answer = sample["arguments"][0][0], str(sample["target"]), sample["filtered_resps"][0]
        rows.append((column.name, index, asked, right, answer if isinstance(answer, str) else None, score))
    return rows


def _held(
    model: nn.Module, tokenizer: Any, prompt: Prompt | None, batch_size: int, label: str, check: Callable[[], None]
) -> Any:
    """The model in memory as the harness wants it. It sets a padding token, so it has a tokenizer of its own.

    Args:
        prompt: whose chat template is taken; None: none.
    """
    from lm_eval.models.huggingface import HFLM

    own, arguments, stream = copy.deepcopy(tokenizer), dict[str, Any](), sys.stderr
    if prompt:
        own.chat_template = dated(tokenizer, prompt)
        arguments = {name: value for name, value in prompt.arguments.items() if name != "chat_template"}

    class Held(HFLM):
        """Between its passes it says how far it is, and whether to end."""

        def _model_call(self, *args: Any, **options: Any) -> Any:
            self._pass()
            return super()._model_call(*args, **options)

        def _model_generate(self, *args: Any, **options: Any) -> Any:
            self._pass()
            return super()._model_generate(*args, **options)

        def _pass(self) -> None:
            check()
            self.progress.advance()

        def _loglikelihood_tokens(self, requests: list[Any], **options: Any) -> Any:
            self._begin(requests)
            return super()._loglikelihood_tokens(requests, **options)

        def generate_until(self, requests: list[Any], **options: Any) -> Any:
            self._begin(requests)
            return super().generate_until(requests, **options)

        def _begin(self, requests: list[Any]) -> None:
            passes = math.ceil(len(requests) / batch_size)
            self.progress = Progress(f"{label}, lm_eval", passes, unit="pass", stream=stream)

    return Held(pretrained=model, tokenizer=own, batch_size=batch_size, chat_template_args=arguments)
