"""`baldro train`: one run, from its inputs or from where an earlier process left it, to a model and its rows."""

from argparse import Namespace
from typing import Any

from baldro.durable.files import remove
from baldro.durable.lease import Lease, Stop
from baldro.jobs import finished, imports, provenance
from baldro.jobs.run_inputs import RunInputs, check_unlearning, read
from baldro.jobs.several import is_first, leased, number
from baldro.records import failure
from baldro.records import finished as kept
from baldro.records import run as record
from baldro.runs import check_packages
from baldro.runs.agreement import check_sharding


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
        if _restored(given, options, identity, lease):
            print(f"{given.run.id}: trained before, restored from {kept.place(options.output)}")
            return
        if is_first():
            remove(options.output / failure.NAME)
        network, tokenizer, done = _fit(given, options, identity, lease=lease, stop=stop)
        if done.main:
            _finish(given, options, identity, network, tokenizer, done, lease=lease)
        print(f"{given.run.id}: {done.steps} steps, {done.tokens} tokens, {done.seconds:.1f} s on {done.device}")


def _fit(given: RunInputs, options: Namespace, identity: str, *, lease: Lease, stop: Stop) -> tuple[Any, Any, Any]:
    """Load and train. Signals are heeded after each long piece of loading, then after each step.

    Returns: model, tokenizer, and what `train` says of it.
    """
    with imports():
        from baldro.jobs import inputs
        from baldro.training.loop import Diverged, Execution, train

    stop.check("before training began; an earlier checkpoint stays")
    inputs.set_threads(options.threads)
    network, tokenizer = inputs.open_to_train(given)
    stop.check("before training began; an earlier checkpoint stays")
    forget, retain = inputs.samples(
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
        finished.discard(options.output, lease=lease)
    try:
        done = train(
            network,
            given.run,
            forget=forget,
            retain=retain,
            output=options.output,
            identity=provenance.with_sequences(
                identity, [s.tokens for s in forget], [s.alternate for s in forget if s.alternate], retain
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
    from baldro.scoring import check_room

    if options.max_new_tokens and given.run.facts.tabled:
        check_room(
            network,
            tokenizer,
            given.prompt,
            given.records,
            split=given.run.split,
            holdout=None,  # its rows are of the forget split's kind, and nothing is generated on them
            max_new_tokens=options.max_new_tokens,
            evaluate_rows=options.evaluate_rows or None,
        )


def _finish(
    given: RunInputs, options: Namespace, identity: str, network: Any, tokenizer: Any, done: Any, *, lease: Lease
) -> None:
    """Everything that the run made: first beside the checkpoint, as a whole, then among the outputs."""
    from baldro import models

    with lease.whole(kept.place(options.output)) as made:
        models.save(network, tokenizer, made / kept.MODEL, precision=given.run.precision)
        done.state.save_rows(made)
        said = dict(**done.as_dict(), **provenance.provenance(given))
        trained = record.Trained(run=given.run.id, spec=given.run.asdict(), start=given.start, **said)
        record.write(made / record.NAME, trained)
        kept.write(made, identity)
    finished.hand_over(options.output, lease=lease, keep=_keeps(given))


def _restored(given: RunInputs, options: Namespace, identity: str, lease: Lease) -> bool:
    """Whether an earlier process finished this training; then its outputs are put in their place.

    Several devices' processes must all come to the same answer, so they ask only what none of them removes.
    """
    if number() > 1 and not _keeps(given):
        return False
    there = kept.is_whole(kept.place(options.output), identity)
    if there and is_first():
        finished.hand_over(options.output, lease=lease, keep=_keeps(given))
    return there


def _keeps(given: RunInputs) -> bool:
    """A temporary model is made anew together with its scores; other models stay among the outputs."""
    return given.run.facts.temporary
