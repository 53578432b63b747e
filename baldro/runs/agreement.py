"""What a run asks of its benchmark and its model: names that are there, answers, layers. What they lack ends here, before anything runs."""

from collections.abc import Mapping
from typing import Any

from baldro.benchmarks import Definition, define
from baldro.durable.files import read_json
from baldro.errors import BaldroError, unknown
from baldro.methods.catalogue import COMBINERS
from baldro.places import find, parts
from baldro.runs.needs import Needs
from baldro.runs.run import Run

LONGEST = 237
"""Characters of a run's id: it names files, of which a system takes 255, with an ending and, while they are written, another."""
OTHER_ANSWERS = {
    "idk": "questions that 'I do not know' answers; allowed: a benchmark of questions and answers, not of running text",
    "alternates": "other answers to its forget questions; allowed: a benchmark that has them (alternates: in benchmarks.yaml, or "
    "a fictional one, which makes them)",
}


def check_names(run: Run, models: Mapping[str, Any], benchmarks: Mapping[str, Any]) -> None:
    """Whether a run's model, benchmark and split are defined.

    Raises:
        BaldroError: a name that is not.
    """
    for kind, name, known in (("model", run.model, models), ("benchmark", run.benchmark, benchmarks)):
        if name not in known:
            raise unknown(kind, name, known, where="grid")
    splits = benchmarks[run.benchmark]["forget"]
    if run.split not in splits:
        raise unknown("split", run.split, splits, where=f"benchmark {run.benchmark}")


def agree(run: Run, models: Mapping[str, Any], benchmarks: Mapping[str, Any]) -> None:
    """Whether a run's model and benchmark, as they are defined, have what it needs.

    Raises:
        BaldroError: no other answers; no such layer; no retain model to compare with; an id too long; what cannot be split.
    """
    model, needs = models[run.model], run.method.needs
    benchmark = define(benchmarks[run.benchmark], what=f"benchmark {run.benchmark!r}")
    if (asked := Needs.of(model)).shard:
        check_sharding(run, devices=asked.devices, harness=benchmark.lm_eval is not None)
    for kind in OTHER_ANSWERS:
        if kind in needs and kind not in benchmark.other_answers:
            raise BaldroError(
                "no-other-answers",
                f"objective {run.objective!r}: benchmark {run.benchmark!r} has no {OTHER_ANSWERS[kind]}",
            )
    if "activations" in needs:
        _check_layer(run, model)
    if run.parent is None:
        _check_part(run, model, benchmark.forget[run.split])
    if benchmark.retain_compulsory and not has_retain(run, model, benchmark):
        retain = benchmark.forget[run.split]
        raise BaldroError(
            "no-retain-model",
            f"model {run.model} has no retain model for {run.split}; allowed: an entry retain: {retain} in models.yaml",
        )
    if len(run.id) > LONGEST:
        raise BaldroError(
            "id-too-long",
            f"the id {run.id!r} has {len(run.id)} characters; allowed: {LONGEST}, so fewer fields, or a shorter chain of runs",
        )


def check_sharding(run: Run, *, devices: int, harness: bool = False) -> None:
    """Whether a run can be trained and scored with its model split over devices (`needs: {shard: true}`).

    Args:
        harness: whether tasks of lm-evaluation-harness are asked of it.

    Raises:
        BaldroError: one device, or something of the run that needs the whole model on each.
    """
    if devices < 2:
        raise BaldroError(
            "nothing-to-shard",
            f"model {run.model}: shard needs several GPUs; allowed: gpu: 2 or more, or several nodes",
        )
    whole = {
        f"combiner {run.combiner!r} (a second derivative)": COMBINERS[run.combiner].kind == "penalty"
        if run.combiner
        else False,
        "lora_start 'fila' (a decomposition of whole weights)": run.lora_start == "fila",
        "optimiser 'adamw-8bit' (bitsandbytes knows no split weights)": run.optimiser == "adamw-8bit",
        "lora_base 'nf4' (the same)": run.lora_base == "nf4",
        "stage quantise (it rounds whole weights)": run.stage == "quantise",
        "lm_eval of its benchmark (asked by one process)": harness,
    }
    if lacking := [what for what, wanted in whole.items() if wanted]:
        raise BaldroError(
            "cannot-be-sharded",
            f"run {run.id}: {' and '.join(lacking)} cannot be split over devices; allowed: shard: false in the needs of model {run.model}",
        )


def has_retain(run: Run, model: Mapping[str, Any], benchmark: Definition) -> bool:
    """Whether there is a model that never saw a run's forget split: trained here, or published beside the target."""
    return "target" not in model or benchmark.forget[run.split] in model.get("retain", {})


def layers(model: Mapping[str, Any], *, what: str) -> int | None:
    """Depth of a model: as it is built, as `layers` in models.yaml says, or as the folder has it that it starts from.

    Args:
        what: the model, for errors.

    Returns: None where nobody says it: a hub entry or GGUF file without `layers`. The first job that opens the model then refuses.
    """
    if "build" in model:
        return model["build"]["num_hidden_layers"]
    if "layers" in model:
        return model["layers"]
    place = find(model.get("source") or model.get("target") or [], what=what)
    config = place.path / "config.json" if place and place.path else None
    if config is None or not config.is_file():
        return None
    found = read_json(config)
    return found.get("num_hidden_layers") if isinstance(found, dict) else None


def _check_part(run: Run, model: Mapping[str, Any], retain_split: str) -> None:
    """Whether a model's entry has what a run starts from, if no other run makes it."""
    origin, there = run.facts.origin(run, model, retain_split), parts(model)
    if origin.stage is None and origin.part not in there:
        raise unknown("part", origin.part, there, where=f"model {run.model} (models.yaml)")


def _check_layer(run: Run, model: Mapping[str, Any]) -> None:
    depth = layers(model, what=f"model {run.model}")
    if depth is not None and run.rmu_layer >= depth:
        raise BaldroError(
            "no-such-layer",
            f"'rmu_layer' is {run.rmu_layer}, and model {run.model!r} has {depth} layer{'s' * (depth != 1)}; allowed: 0 to {depth - 1}",
        )
