"""Keys and values of rows that grow by different numbers of tokens, leave and join.

Shape legend: B rows, R rows that are copied, H heads, S slots, W width of a head.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer


def movable(cache: DynamicCache) -> bool:
    """Whether a token's share of each layer is its keys and values and nothing else, so that a row can be moved within the layer."""
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers)


def whole(cache: DynamicCache) -> DynamicCache:
    """A movable cache, empty, whose layers keep every token; the masks hide what is before a sliding window."""
    cache.layers = [DynamicLayer() for _ in cache.layers]
    return cache


class Room(DynamicCache):
    """Keys and values of rows that grow, leave and join. A pass writes its own tokens in place and copies no others.

    The tokens of a row are side by side and those of all rows end at the same slot, padding is on the left. So whatever a row has
    rejected, the cache looks as if its text had been a prompt, and whatever an architecture makes of slots is right: causal masks,
    sliding windows, chunks, positions counted from the mask. Rotary keys keep the position at which they were made, which is the
    token's own; a slot has no part in it.

    Args:
        rows: rows at a time, at most.
        slots: tokens of a row, at most.
    """

    def __init__(self, *, rows: int, slots: int):
        super().__init__()
        self.rows, self.slots = rows, slots
        self.count = self.begin = self.end = self.capacity = 0

    def reserve(self, tokens: int) -> None:
        """Make room for some tokens more behind each row."""
        if self.end + tokens > self.capacity:
            held = self.end - self.begin
            self._renew(held + tokens, end=held)

    def _renew(self, tokens: int, *, end: int) -> None:
        """Take memory for twice the tokens, where the rows end before slot `end`."""
        self.capacity = min(self.slots, 2 * tokens)
        begin = end - (self.end - self.begin)
        for layer in self.layers:
            layer.renew(begin, end)
        self.begin, self.end = begin, end

    def admit(self, cache: DynamicCache, rows: Sequence[int], back: Sequence[int], held: Sequence[int]) -> None:
        """Let rows of another cache join behind the present ones.

        Args:
            back: slots at the end of each row that are not its tokens.
            held: tokens of each row.
        """
        if not rows:
            return
        longest, width = max(held), cache.get_seq_length()
        if not self.layers:
            self.layers = [_Slots(self, layer) for layer in cache.layers]
        if longest > self.end:
            self._renew(longest, end=longest)
        device = cache.layers[0].device
        row_R1 = torch.tensor(rows, device=device)[:, None]
        slot_RS = torch.arange(width - longest, width, device=device) - torch.tensor(back, device=device)[:, None]
        for own, other in zip(self.layers, cache.layers, strict=True):
            own.put(slice(self.count, self.count + len(rows)), self.end, other.keys, other.values, row_R1, slot_RS)
        self.count += len(rows)
        self.begin = min(self.begin, self.end - longest)

    def settle(self, fed: int, rows: Sequence[int], back: Sequence[int], held: Sequence[int]) -> list[int]:
        """Keep these rows after a pass of `fed` tokens a row; other arguments as of `admit`.

        Returns: indices of `rows` in the order that the rows have now: those that need not move stay where they are.
        """
        if not rows:
            self.count, self.begin = 0, self.end
            return []
        stay = {row: i for i, row in enumerate(rows) if row < len(rows)}
        others = iter([i for i, row in enumerate(rows) if row >= len(rows)])
        order = [stay[at] if at in stay else next(others) for at in range(len(rows))]
        nearest, longest = min(back), max(held)
        right = [back[i] - nearest for i in order]
        moved = [at for at, i in enumerate(order) if rows[i] != at or right[at]]
        end = self.end + fed - nearest
        if moved:
            far = max(held[order[at]] for at in moved)
            self._move(moved, [rows[order[at]] for at in moved], [right[at] for at in moved], end, far)
        self.count, self.begin, self.end = len(rows), end - longest, end
        return order

    def _move(self, to: list[int], rows: list[int], right: list[int], end: int, longest: int) -> None:
        """Copy the last tokens of `rows`, so many slots to the right, to the rows `to`, where they end before slot `end`."""
        device = self.layers[0].device
        row_R1 = torch.tensor(rows, device=device)[:, None]
        slot_RS = torch.arange(end - longest, end, device=device) - torch.tensor(right, device=device)[:, None]
        into = torch.tensor(to, device=device)
        for layer in self.layers:
            layer.put(into, end, *layer.room, row_R1, slot_RS)


class _Slots(DynamicLayer):
    """One layer of a `Room`.

    Args:
        like: the layer of an ordinary cache that has seen tokens.
    """

    def __init__(self, owner: Room, like: DynamicLayer):
        super().__init__()
        self.owner, self.dtype, self.device, self.is_initialized = owner, like.dtype, like.device, True
        self.room = tuple(x[:0, :, :0] for x in (like.keys, like.values))

    def renew(self, begin: int, end: int) -> None:
        """Move to memory of the owner's capacity, of zeros: a slot that a mask hides must hold a finite number."""
        own, old = self.owner, self.room
        self.room = tuple(x.new_zeros(own.rows, x.shape[1], own.capacity, x.shape[3]) for x in old)
        for room, x in zip(self.room, old, strict=True):
            room[: own.count, :, begin:end] = x[: own.count, :, own.begin : own.end]

    def put(self, to, end: int, keys: Tensor, values: Tensor, row_R1: Tensor, slot_RS: Tensor) -> None:
        begin = end - slot_RS.shape[1]
        for room, source in zip(self.room, (keys, values), strict=True):
            room[to, :, begin:end] = source.transpose(1, 2)[row_R1, slot_RS.clamp_min(0)].transpose(1, 2)

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        own, more = self.owner, key_states.shape[-2]
        found = []
        for room, states in zip(self.room, (key_states, value_states), strict=True):
            room[: own.count, :, own.end : own.end + more] = states
            found.append(room[: own.count, :, own.begin : own.end + more])
        return found[0], found[1]

    def get_seq_length(self) -> int:
        return self.owner.end - self.owner.begin
