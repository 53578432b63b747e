"""`baldro tasks`: the tasks of lm-evaluation-harness that a benchmark names, and their data, before any job needs them."""

from argparse import Namespace
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from baldro.benchmarks.harness import Harness
from baldro.durable.contents import content
from baldro.durable.files import parse_json
from baldro.errors import BaldroError
from baldro.plan.text import count
from baldro.records import tasks
from baldro.runs import check_packages
from baldro.runs.experiment import task_files


def run(options: Namespace) -> None:
    """What the verb's options say."""
    given = parse_json(options.definition, what="--definition")
    try:
        asked = Harness.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BaldroError("value-not-allowed", f"--definition: {where}: {first['msg']}") from None
    check_packages([], harness=True)
    from baldro.scoring import harness

    found = {task.task_name: task for leaves in harness.tasks(asked).values() for task in leaves}
    listed = {
        name: {"version": (task.config.metadata or {}).get("version"), "questions": len(task.eval_docs)}
        for name, task in found.items()
    }
    files = list(map(Path, task_files(asked)))
    record = tasks.Tasks(
        asked=asked.model_dump(exclude={"batch_size"}, exclude_none=True),
        package=version("lm_eval"),
        content=content(files) if files else None,
        tasks=listed,
    )
    tasks.write(options.output, record)
    print(f"{count(len(listed), 'task')}, {count(sum(t['questions'] for t in listed.values()), 'question')}")
