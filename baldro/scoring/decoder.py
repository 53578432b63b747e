"""Greedy decoding in batches that stay full, several tokens a pass where drafts of them are right.

Shape legend: B rows of a pass, S slots of the cache and the pass, D tokens of a draft and the one before, N tokens of all drafts, H width.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice

import torch
from torch import nn
from transformers import DynamicCache

from baldro.models import heads
from baldro.models.forward import HEAD_ELEMENTS, body
from baldro.prompts.limits import SEQUENCES
from baldro.scoring import cache as caches
from baldro.scoring.drafts import Drafts, Row, free_tokens
from baldro.scoring.room import Room, movable, whole

JOINING = 4
"""Rows join when one in so many places is free: their prompts take a pass of their own."""


class Decoder:
    """Continues rows greedily. A row that has finished leaves and another one takes its place, so that passes stay full.

    A pass reads the last token of each row and a draft of those that follow it, and gives the model's choice behind each of them. A row
    says the choices up to and including the first that the draft has not: just what it would say token by token, whatever the draft.

    Args:
        eos: token or tokens that end a row.
        finished: called with a row's new tokens; True ends the row early.
        drafts: whether to draft at all. How long drafts are is decided pass by pass (`Drafts.width`).
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        eos: int | Collection[int],
        max_new_tokens: int,
        finished: Callable[[Sequence[int]], bool] | None = None,
        drafts: bool = True,
    ):
        self.model, self.head, self.device = model, heads.head(model), next(model.parameters()).device
        self.ending = {eos} if isinstance(eos, int) else set(eos)
        self.new, self.finished = max_new_tokens, finished
        self.drafts = Drafts(free_tokens(model)) if drafts else None
        self.passes = self.answers = self.passes_of_answers = 0

    @property
    def passes_per_answer(self) -> float:
        """Passes that a row which has finished took part in, on average."""
        return self.passes_of_answers / max(1, self.answers)

    def begin(self, row: Row, tokens: Sequence[int], choices: Sequence[int]) -> None:
        """Let a new row say what another pass over its prompt and some tokens behind it has settled: no pass is taken twice.

        Args:
            choices: the model's own in the place of each token; at least one.
        """
        self._say(row, tokens, choices)

    @torch.inference_mode()
    def __call__(self, rows: Sequence[Row], *, batch_tokens: int) -> Iterator[Row]:
        """Yields each row when it has finished.

        Args:
            batch_tokens: padded tokens whose keys and values are in memory, at most (one row may exceed it).
        """
        yield from self._over(rows)
        # Taken from the end: too little memory shows at once.
        waiting = sorted((row for row in rows if not row.over), key=lambda row: len(row.unread()))
        slots = max((len(row.prompt) for row in rows), default=0) + self.new
        most = min(len(rows), SEQUENCES, max(1, batch_tokens * JOINING // ((JOINING + 1) * slots)))
        some, room, running = -(-most // JOINING), Room(rows=most, slots=slots), list[Row]()
        can_move = movable(caches.empty(self.model))
        while waiting or running:
            if waiting and most - len(running) >= min(some, len(waiting)):
                part = [waiting.pop() for _ in range(min(some, len(waiting)))]
                cache = caches.empty(self.model)
                _, back = self._pass(part, whole(cache) if can_move else cache, beside=len(running))
                stay = _stay(part, back)
                if can_move:
                    room.admit(cache, *stay)
                    running += [part[b] for b in stay[0]]
                else:  # they start from their prompt again
                    waiting += [part[b].forgotten() for b in stay[0]]
            else:
                part = running
                fed, back = self._pass(part, room)
                stay = _stay(part, back)
                running = [part[stay[0][i]] for i in room.settle(fed, *stay)]
            yield from self._over(part)

    def _over(self, rows: Sequence[Row]) -> Iterator[Row]:
        for row in rows:
            if row.over:
                self.answers, self.passes_of_answers = self.answers + 1, self.passes_of_answers + row.passes
                yield row

    def _pass(self, rows: Sequence[Row], cache: DynamicCache, *, beside: int = 0) -> tuple[int, list[int]]:
        """One forward pass over what each row has not read yet and its draft; the rows say what the model chose.

        Returns: slots that the pass took, and at the end of each row those that are not its tokens.
        """
        unread = [row.unread() for row in rows]
        drafts = self._drafts(rows, cache, beside)
        longest, width, past = max(map(len, unread)), max(map(len, drafts)), cache.get_seq_length()
        made = [[0] * (longest - len(u)) + u + d + [0] * (width - len(d)) for u, d in zip(unread, drafts, strict=True)]
        left_B1, own_B1, draft_B1 = torch.tensor(
            [
                (past + longest - row.held - len(u), row.held + len(u) + len(d), len(d))
                for row, u, d in zip(rows, unread, drafts, strict=True)
            ],
            device=self.device,
        ).T[..., None]
        slot_S = torch.arange(past + longest + width, device=self.device)
        position_BS = torch.minimum((slot_S - left_B1).clamp_min(0), own_B1 - 1)
        hidden_BSH = body(
            self.model,
            input_ids=torch.tensor(made, device=self.device),
            attention_mask=(slot_S >= left_B1).long(),  # padding on the right comes after all that is read
            position_ids=position_BS[:, past:],
            past_key_values=cache,
            use_cache=True,
        )
        hidden_BDH = hidden_BSH[:, -1 - width :]
        hidden_NH = hidden_BDH[slot_S[: 1 + width] <= draft_B1]
        parts = hidden_NH.split(max(1, HEAD_ELEMENTS // self.head.out_features))
        choices = iter(torch.cat([self.head(part).argmax(-1) for part in parts]).tolist())
        self.passes += 1
        back = []
        for row, u, d in zip(rows, unread, drafts, strict=True):
            right = self._say(row, d, list(islice(choices, 1 + len(d))))
            row.held, row.passes = row.held + len(u) + right, row.passes + 1
            back.append(width - right)
        return longest + width, back

    def _drafts(self, rows: Sequence[Row], cache: DynamicCache, beside: int) -> list[list[int]]:
        left = [self.new - len(row.said) - 1 for row in rows]  # the last token needs no draft
        room = cache.slots - 1 - max(row.held for row in rows) if isinstance(cache, Room) else self.new
        width = self.drafts.width(rows, min(max(left), room), beside=beside) if self.drafts else 0
        drafts = [row.draft(min(width, n)) for row, n in zip(rows, left, strict=True)]
        if isinstance(cache, Room):
            cache.reserve(1 + max(map(len, drafts)))
        return drafts

    def _say(self, row: Row, draft: Sequence[int], choices: Sequence[int]) -> int:
        """Returns: tokens of the draft that were right."""
        say = self.drafts.say if self.drafts else Row.say
        for right, token in enumerate(choices):
            if token in self.ending:
                row.over = True
                break
            say(row, token)
            row.over = len(row.said) == self.new or (self.finished is not None and self.finished(row.said))
            if row.over or right == len(draft) or draft[right] != token:
                break
        return right


def _stay(rows: Sequence[Row], back: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Indices of the rows that go on, slots at their ends that are not theirs, and tokens that they hold."""
    stay = [b for b, row in enumerate(rows) if not row.over]
    return stay, [back[b] for b in stay], [rows[b].held for b in stay]
