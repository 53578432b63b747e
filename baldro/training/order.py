"""Which samples each step takes: batches of the whole split, or of one topic after the other (rmu_topics).

Every draw is a function of seed and step, so a resumed run sees what an undisturbed one sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from baldro.prompts.batches import draw
from baldro.training.schedule import Schedule

FORGET, RETAIN, DROPOUT, ROUNDING = 0, 1, 2, 3
"""Streams of random draws under one seed."""
APART = 10
"""Added to a stream for each further topic, so that topics are in orders of their own."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """The batches of a run: step s takes the next samples of topic s mod the number of topics (Li et al. 2024, released code).

    A topic is drawn without regard to the others: one with fewer samples comes round sooner.
    """

    schedule: Schedule
    seed: int
    paced: Sequence[Sequence[int]]
    """Positions of each topic's samples in the split that sets the pace; one sequence if topics are mixed."""
    retain: Sequence[Sequence[int]]
    """Positions of the samples in the retain split that go with each topic; empty without a retain half."""

    @classmethod
    def of(
        cls, schedule: Schedule, seed: int, *, topics: Sequence[int], retain_topics: Sequence[int | None] = ()
    ) -> "Order":
        """The order of a run.

        Args:
            topics: topic of each sample in the split that sets the pace, counted from 0.
            retain_topics: of each retain sample; None: it goes with every topic.
        """
        numbers = range(max(topics, default=0) + 1)
        return cls(
            schedule=schedule,
            seed=seed,
            paced=[[i for i, own in enumerate(topics) if own == topic] for topic in numbers],
            retain=[[i for i, own in enumerate(retain_topics) if own in (topic, None)] for topic in numbers],
        )

    def at(self, step: int) -> tuple[list[int], list[int]]:
        """Positions of a step's samples in the split that sets the pace, and of as many in the retain split, if there are any."""
        turn, topic = divmod(step, len(self.paced))
        paced, retain = self.paced[topic], self.retain[topic]
        start, count = replace(self.schedule, n=len(paced)).at(turn)
        shift = APART * topic
        return self._drawn(paced, start, count, FORGET + shift), self._drawn(retain, start, count, RETAIN + shift)

    def _drawn(self, among: Sequence[int], start: int, count: int, stream: int) -> list[int]:
        if not among:
            return []
        return [among[i] for i in draw(len(among), start=start, count=count, seed=self.seed, stream=stream)]
