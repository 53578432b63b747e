"""Drafts of greedy continuations, and how long they should be.

One forward pass over a draft says of each of its tokens whether the model would have chosen it, so that a draft that is right saves
passes and one that is wrong costs only arithmetic: the text is the model's own either way (speculative decoding, Leviathan et al. 2023,
arXiv 2211.17192, here greedy and without a second model; drafts from the text itself: prompt lookup decoding, Saxena 2023).

Shape legend: B rows that still run, D positions of a draft.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

END = -1
"""Stands behind the gold answer: a draft does not go on into the prompt."""
LONGEST = 64
"""Tokens of a draft, at most."""
WEIGHT = 4.0
"""Guesses of all rows that count as much as a row's own."""
MOVING = 0.25
"""Passes that it takes to move the keys and values of rows that were right for different lengths."""


class Row:
    """What a row has said, and the place of a text like it whose tokens may come next.

    The text is the gold answer, the prompt and what was said. The place is the beginning of the gold answer at first and moves on as
    long as the tokens agree; after one that does not it is behind the last place with the same two tokens, if there is one.

    Args:
        prompt: token ids.
        gold: token ids of the right answer; may be empty.
    """

    def __init__(self, prompt: Sequence[int], gold: Sequence[int]):
        self.prompt, self.said = prompt, list[int]()
        self.held = self.passes = 0
        """Tokens whose keys and values are kept; forward passes so far."""
        self.over = False
        self.last = prompt[-1]
        self.text = [*prompt, *gold, END]
        self.pairs = {pair: at for at, pair in enumerate(zip(self.text, self.text[1:], strict=False), start=2)}
        self.place: int | None = len(prompt)
        self.looked_up = False
        """The place is not that of an answer that agreed from its beginning."""
        self.right = self.guesses = 0

    def unread(self) -> list[int]:
        """Tokens whose keys and values are not kept."""
        prompt = self.prompt[self.held :]
        return [*prompt, *self.said[max(0, self.held - len(self.prompt)) :]]

    def forgotten(self) -> "Row":
        """The same row, no keys and values kept."""
        self.held = 0
        return self

    @property
    def guess(self) -> int:
        """The next token; END if there is no guess."""
        return END if self.place is None else self.text[self.place]

    def draft(self, most: int) -> list[int]:
        """The next tokens, `most` at most. From a place near the end the text is repeated: a model that is broken often loops."""
        piece = [] if self.place is None else self.text[self.place : self.place + most]
        if END in piece:
            return piece[: piece.index(END)]
        return (piece * -(-most // len(piece)))[:most] if piece else []

    def say(self, token: int) -> bool | None:
        """Add a token.

        Returns: whether it was the guess; None if there was no guess.
        """
        guess, pair = self.guess, (self.last, token)
        if guess == token:
            self.place += 1
        else:
            self.place, self.looked_up = self.pairs.get(pair), True
        self.last = token
        self.said.append(token)
        self.text.append(token)
        self.pairs[pair] = len(self.text)
        return None if guess == END else guess == token


class Drafts:
    """Chooses the length of the drafts by how often guesses were right, and serves all rows of a model.

    A guess is compared with what is said whether or not it was in a draft, so that drafts end where they do not pay and come back
    where they do. Only counts decide, never a clock: the same model and rows take the same passes.

    Args:
        free: tokens whose arithmetic takes as long as what a pass costs whatever it holds (`free_tokens`).
    """

    def __init__(self, free: float):
        self.free = free
        self.right, self.guesses = np.array([9.0, 5.0]), np.array([10.0, 10.0])  # gold answers, places looked up

    def width(self, rows: Sequence[Row], most: int, *, beside: int = 0) -> int:
        """Tokens of the longest draft of a pass, 0 where drafts do not pay.

        A position of the draft costs B tokens of arithmetic, since all rows of a pass have the same length. A token that is right saves
        its row one token and its share 1 / B of a pass: in tokens 1 + free / B. So position d pays while the mean probability that a row
        is right up to d is more than B / (B + free), and the draft if all that pays is more than `MOVING`. A row is taken to be right at
        each position with the same probability.

        Args:
            most: at most so many.
            beside: rows that are not in this pass and will be in the next ones.
        """
        count, most = len(rows) + beside, min(most, LONGEST)
        pooled_2 = self.right / self.guesses
        kind_B = np.array([row.looked_up for row in rows], dtype=int)
        right_B, guesses_B = np.array([(row.right, row.guesses) for row in rows], dtype=float).T
        rate_B = (right_B + WEIGHT * pooled_2[kind_B]) / (guesses_B + WEIGHT)
        rate_B *= [row.guess != END for row in rows]
        gain_D = (rate_B[:, None] ** np.arange(1, most + 1)).mean(0) - count / (count + self.free)
        width = int((gain_D > 0).sum())
        return width if gain_D[:width].sum() > MOVING else 0

    def say(self, row: Row, token: int) -> None:
        """Add a token to a row, and count whether it had been guessed."""
        kind, was = int(row.looked_up), row.say(token)
        if was is not None:
            self.right[kind] += was
            self.guesses[kind] += 1
            row.right, row.guesses = row.right + was, row.guesses + 1
        if int(row.looked_up) != kind:
            row.right = row.guesses = 0


CPU = dict(weights=12.0, layer=1e7)
CUDA = {torch.float32: dict(weights=30.0, layer=3e10), torch.bfloat16: dict(weights=200.0, layer=3e11)}
"""Tokens while whose arithmetic the weights are read, and FLOPs in the time in which a layer's kernels are launched."""


def free_tokens(model: nn.Module) -> float:
    """Tokens whose arithmetic takes as long as what a forward pass costs whatever it holds: reading weights, launching kernels.

    An estimate from the kind of device, the type and the size; it decides how long a draft is worth its arithmetic, never a text.
    """
    weights = next(model.parameters())
    cost = CUDA.get(weights.dtype, CUDA[torch.bfloat16]) if weights.is_cuda else CPU
    parameters = sum(p.numel() for p in model.parameters())
    return cost["weights"] + cost["layer"] * model.config.get_text_config().num_hidden_layers / (2 * parameters)
