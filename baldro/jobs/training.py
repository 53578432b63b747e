"""`baldro train`: one run, from its inputs or from where an earlier process left it, to a model and its rows, or to its evidence.

With --samples the model is scored where it is, in memory. It is stored only if that fails or is interrupted, so that the next attempt
has only to score it, or if it is to be kept.
"""

from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baldro.durable.files import remove
from baldro.durable.lease import Lease, Stop
from baldro.jobs import imports, provenance, scoring
from baldro.jobs.finished import Finished
from baldro.jobs.run_inputs import RunInputs, check_unlearning, read
from baldro.jobs.several import is_first, leased, number, wait
from baldro.records import evidence, failure
from baldro.records import finished as kept
from baldro.records import run as record
from baldro.runs import check_packages
from baldro.runs.agreement import check_sharding


@dataclass(frozen=True)
class Job:
    """A run that is carried out: its options and files, and what ends it."""

    options: Namespace
    given: RunInputs
    made: Finished
    lease: Lease
    stop: Stop


def run(options: Namespace, stop: Stop) -> None:
    """What the verb's options say. Killed at any moment, it leaves a checkpoint to go on from, or all that it made.

    Raises:
        Diverged, Interrupted, Superseded: as `baldro.training.loop.train`.
    """
    given = read(options)
    check_packages([given.run])
    references = {"reference": options.reference, "alternate_reference": options.alternate_reference}
    check_unlearning(given.run, retain_split=options.retain_split, **references)
    if options.shard:
        check_sharding(given.run, devices=number())
    identity = provenance.identity(given, retain_split=options.retain_split, **references)
    with leased(options.output) as lease:
        if options.start and is_first():  # a model is read once the job that made it has ended well
            kept.forget(options.start.parent)
        job = Job(options, given, _made(options, given, identity, lease), lease, stop)
        if _is_kept(job) and job.made.is_complete:
            print(f"{given.run.id}: made before, restored from {job.made.place}")
            _hand_over(job)
            return
        if options.samples:
            scoring.check(options, given)
        if _is_kept(job) and job.made.is_trained:
            print(f"{given.run.id}: trained before, restored from {job.made.place}")
            _score_what_is_kept(job)
            return
        if is_first():
            remove(options.output / failure.NAME)
        network, tokenizer, done = _fit(job)
        _finish(job, network, tokenizer, done)
        print(f"{given.run.id}: {done.steps} steps, {done.tokens} tokens, {done.seconds:.1f} s on {done.device}")


def _made(options: Namespace, given: RunInputs, identity: str, lease: Lease) -> Finished:
    return Finished(
        output=options.output,
        samples=options.samples,
        identity=identity,
        scoring=scoring.identity(options, given) if options.samples else None,
        keep=options.keep,
        temporary=given.run.facts.temporary,
        lease=lease,
    )


def _is_kept(job: Job) -> bool:
    """Whether what is kept tells all processes of a job the same: not where the first one removes it while others may still look."""
    return number() == 1 or job.given.run.facts.temporary


def _fit(job: Job) -> tuple[Any, Any, Any]:
    """Load and train. Signals are heeded after each long piece of loading, then after each step.

    Returns: model, tokenizer, and what `train` says of it.
    """
    options, given, lease, stop = job.options, job.given, job.lease, job.stop
    with imports():
        from baldro.jobs import inputs
        from baldro.training.loop import Diverged, Execution, train

    stop.check("before training began; an earlier checkpoint stays")
    inputs.set_threads(options.threads)
    network, tokenizer = inputs.open_to_train(given)
    stop.check("before training began; an earlier checkpoint stays")
    forget, retain, retain_topics = inputs.samples(
        given,
        network,
        tokenizer,
        reference=options.reference,
        alternate_reference=options.alternate_reference,
        retain_split=options.retain_split,
    )
    _check_scoring(given, options, network, tokenizer)
    execution = Execution(
        micro_batch=options.micro_batch,
        gradient_checkpointing=bool(options.gradient_checkpointing),
        shard=bool(options.shard),
        checkpoint_steps=options.checkpoint_steps,
        checkpoint_minutes=options.checkpoint_minutes,
    )
    if is_first():
        job.made.discard()
    try:
        done = train(
            network,
            given.run,
            forget=forget,
            retain=retain,
            retain_topics=retain_topics,
            output=options.output,
            identity=provenance.with_sequences(
                job.made.identity, [s.tokens for s in forget], [s.alternate for s in forget if s.alternate], retain
            ),
            execution=execution,
            every=options.every,
            lease=lease,
            stop=stop,
        )
    except Diverged as error:
        lease.check()
        failure.write(
            options.output / failure.NAME, failure.Failure(run=given.run.id, stage="train", reason=str(error))
        )
        raise
    return network, tokenizer, done


def _check_scoring(given: RunInputs, options: Namespace, network: Any, tokenizer: Any) -> None:
    """A one-line error where the scoring that will follow cannot fit the model's positions: now, and not after the training."""
    if options.samples:
        from baldro.scoring import check_room

        check_room(
            network,
            tokenizer,
            given.prompt,
            given.records,
            split=given.run.split,
            holdout=None,  # its rows are of the forget split's kind, and nothing is generated on them
            max_new_tokens=options.max_new_tokens,
            evaluate_rows=options.evaluate_rows,
        )


def _finish(job: Job, network: Any, tokenizer: Any, done: Any) -> None:
    """Everything that the run made: first beside the checkpoint, as a whole, then among the outputs.

    Of several devices' processes the first writes, and all score. A model that is split over them is stored and read for that: a device
    that holds a share in training's type cannot hold it in another.
    """
    scored, frame = bool(job.options.samples), None
    if scored:
        done.state.free()
    if scored and job.options.shard:
        if is_first():
            _keep(job, done, network, tokenizer)
        wait()
        _score_what_is_kept(job)
        return
    try:
        if scored:
            from baldro import models

            models.as_stored(network, precision=job.given.run.precision)
            frame = _score(job, network, tokenizer)
        if is_first():
            _keep(job, done, *((network, tokenizer) if job.made.leaves_model else ()), frame=frame)
    except BaseException:
        if is_first() and scored:
            _keep(job, done, network, tokenizer)
        raise
    _hand_over(job)


def _keep(job: Job, done: Any, network: Any = None, tokenizer: Any = None, *, frame: Any = None) -> None:
    """What the training made, beside the checkpoint and whole: its rows, its model if it stays, its evidence if it was taken."""

    def fill(made: Path) -> None:
        done.state.save_rows(made)
        said = dict(**done.as_dict(), **provenance.provenance(job.given))
        run = job.given.run
        record.write(made / record.NAME, record.Trained(run=run.id, spec=run.asdict(), start=job.given.start, **said))
        if network is not None:
            from baldro import models

            models.save(network, tokenizer, made / kept.MODEL, precision=run.precision)
        if frame is not None:
            evidence.write(made / kept.EVIDENCE, frame)

    job.made.seal(fill, scored=frame is not None)


def _score_what_is_kept(job: Job) -> None:
    """Score a model that is stored, and put the outputs in their place."""
    with imports():
        from baldro.jobs import inputs

    inputs.set_threads(job.options.threads)
    there = replace(job.given, start=str(job.made.place / kept.MODEL))
    frame = _score(job, *inputs.open_to_score(there, shard=bool(job.options.shard)))
    if is_first():
        job.made.add(lambda made: evidence.write(made / kept.EVIDENCE, frame))
    _hand_over(job)


def _score(job: Job, network: Any, tokenizer: Any) -> Any:
    """The evidence, as `baldro score` takes it."""

    def check() -> None:
        if is_first():  # the others would leave it waiting
            job.stop.check("while it was scored; the trained model is kept, and only the scoring begins anew")
            job.lease.look()

    return scoring.take(job.options, job.given, network, tokenizer, check=check)


def _hand_over(job: Job) -> None:
    if is_first():
        job.made.hand_over()
