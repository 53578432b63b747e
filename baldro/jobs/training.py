"""`baldro train`: one run, from its inputs or from where an earlier process left it, to a model and its rows, or to its evidence.

With --samples the model is scored where it is, in memory. It is stored only if that fails or is interrupted, so that the next attempt
has only to score it, or if it is to be kept.
"""

from argparse import Namespace
from dataclasses import replace
from typing import Any

from baldro.durable.files import remove
from baldro.durable.lease import Lease, Stop
from baldro.jobs import finished, imports, provenance, scoring
from baldro.jobs.run_inputs import RunInputs, check_unlearning, read
from baldro.jobs.several import is_first, leased, number, wait
from baldro.records import evidence, failure
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
        if options.samples:
            scoring.check(options, given)
        if _is_trained(given, options, identity):
            print(f"{given.run.id}: trained before, restored from {kept.place(options.output)}")
            _restore(given, options, lease=lease, stop=stop)
            return
        if is_first():
            remove(options.output / failure.NAME)
        network, tokenizer, done = _fit(given, options, identity, lease=lease, stop=stop)
        _finish(given, options, identity, network, tokenizer, done, lease=lease, stop=stop)
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
        finished.discard(options.output, lease=lease)
    try:
        done = train(
            network,
            given.run,
            forget=forget,
            retain=retain,
            retain_topics=retain_topics,
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


def _finish(
    given: RunInputs,
    options: Namespace,
    identity: str,
    network: Any,
    tokenizer: Any,
    done: Any,
    *,
    lease: Lease,
    stop: Stop,
) -> None:
    """Everything that the run made: first beside the checkpoint, as a whole, then among the outputs.

    Of several devices' processes the first writes, and all score. A model that is split over them is stored and read for that: a device
    that holds a share in training's type cannot hold it in another.
    """
    if options.samples:
        done.state.free()
    if options.samples and options.shard:
        if is_first():
            _keep(given, options, identity, network, tokenizer, done, lease=lease, model=True)
        wait()
        _restore(given, options, lease=lease, stop=stop)
        return
    try:
        if options.samples:
            from baldro import models

            models.as_stored(network, precision=given.run.precision)
            _score(given, options, network, tokenizer, lease=lease, stop=stop)
    except BaseException:
        if is_first():
            _keep(given, options, identity, network, tokenizer, done, lease=lease, model=True)
        raise
    if is_first():
        _keep(given, options, identity, network, tokenizer, done, lease=lease, model=_leaves_model(options))
        _hand_over(given, options, lease)


def _keep(
    given: RunInputs,
    options: Namespace,
    identity: str,
    network: Any,
    tokenizer: Any,
    done: Any,
    *,
    lease: Lease,
    model: bool,
) -> None:
    """What the training made, beside the checkpoint and whole; with the model also the seal, by which another process believes it."""
    from baldro import models

    with lease.whole(kept.place(options.output)) as made:
        made.mkdir(parents=True)
        done.state.save_rows(made)
        said = dict(**done.as_dict(), **provenance.provenance(given))
        trained = record.Trained(run=given.run.id, spec=given.run.asdict(), start=given.start, **said)
        record.write(made / record.NAME, trained)
        if model:
            models.save(network, tokenizer, made / kept.MODEL, precision=given.run.precision)
            kept.write(made, identity)


def _is_trained(given: RunInputs, options: Namespace, identity: str) -> bool:
    """Whether an earlier process finished this training, and its model is kept.

    Several devices' processes must all come to the same answer, so they ask only what none of them removes before all have scored.
    """
    if number() > 1 and not given.run.facts.temporary:
        return False
    return kept.is_whole(kept.place(options.output), identity)


def _restore(given: RunInputs, options: Namespace, *, lease: Lease, stop: Stop) -> None:
    """Score what was kept, if that is asked for, and put the outputs in their place."""
    if options.samples:
        with imports():
            from baldro.jobs import inputs

        inputs.set_threads(options.threads)
        there = replace(given, start=str(kept.place(options.output) / kept.MODEL))
        opened = inputs.open_to_score(there, shard=bool(options.shard))
        _score(given, options, *opened, lease=lease, stop=stop)
    if is_first():
        _hand_over(given, options, lease)


def _score(given: RunInputs, options: Namespace, network: Any, tokenizer: Any, *, lease: Lease, stop: Stop) -> None:
    """The evidence, as `baldro score` takes it."""

    def check() -> None:
        if is_first():  # the others would leave it waiting
            stop.check("while it was scored; the trained model is kept, and only the scoring begins anew")
            lease.look()

    frame = scoring.take(options, given, network, tokenizer, check=check)
    if is_first():
        evidence.write(options.samples, frame, whole=lease.whole)


def _hand_over(given: RunInputs, options: Namespace, lease: Lease) -> None:
    """Outputs in their place. What is kept beside them stays until the run is scored, by this verb or another."""
    stays = options.keep == "finished" if options.samples else given.run.facts.temporary
    finished.hand_over(options.output, model=_leaves_model(options), lease=lease, keep=stays)


def _leaves_model(options: Namespace) -> bool:
    return options.keep != "nothing" or not options.samples
