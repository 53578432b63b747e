"""Greedy continuations against transformers' generate: rows that have finished leave our batch, and stay in theirs.

Then with drafts against our own without: right ones (what a model that has memorised the gold answers would say), ones that are right for
half of a text, and wrong ones.
"""

import random

import torch
from common import llama, ratio

from baldro.scoring import generate
from baldro.scoring.decoder import Decoder
from baldro.scoring.drafts import Row

PROMPTS, NEW, BATCH_TOKENS = 64, 100, 16384


def main() -> None:
    model = llama(vocab=4096, width=256, layers=4).eval()
    draw = random.Random(0)
    prompts = [[draw.randrange(2, 4096) for _ in range(draw.randint(8, 24))] for _ in range(PROMPTS)]
    eos = common_token(model, prompts)
    longest = max(map(len, prompts))
    device = next(model.parameters()).device
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)

    def ours() -> list[list[int]]:
        return generate(model, prompts, eos=eos, max_new_tokens=NEW)

    @torch.inference_mode()
    def theirs() -> list[list[int]]:
        out = model.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=NEW, eos_token_id=eos, pad_token_id=eos
        )
        return [row[: row.index(eos)] if eos in row else row for row in out[:, longest:].tolist()]

    made = ours()
    if made != theirs():
        raise SystemExit("the texts differ")
    lengths = sorted(map(len, made))
    seconds, times = ratio(ours, theirs, repetitions=5)
    print(f"{PROMPTS} prompts, answers of {lengths[0]} to {lengths[-1]} tokens, median {lengths[PROMPTS // 2]}")
    print(f"generate {seconds:.2f} s, transformers {times:.2f}x; the same texts")
    changed = [[(token + 1) % 4096 for token in row] for row in made]
    half = [[*row[: len(row) // 2], *other[len(row) // 2 :]] for row, other in zip(made, changed, strict=True)]
    for name, gold in {"right": made, "right for half": half, "wrong": changed}.items():
        drafted(name, model, prompts, made, gold, eos=eos, new=NEW, repetitions=5)


def drafted(name: str, model, prompts, made, gold, *, eos, new: int, repetitions: int) -> None:
    """A line on drafts: passes per answer, and the ratio to one token a pass; the texts must be the same."""

    def ours(drafts: bool) -> tuple[list[list[int]], float]:
        decoder = Decoder(model, eos=eos, max_new_tokens=new, drafts=drafts)
        rows = [Row(prompt, answer) for prompt, answer in zip(prompts, gold, strict=True)]
        for _ in decoder(rows, batch_tokens=BATCH_TOKENS):
            pass
        return [row.said for row in rows], decoder.passes_per_answer

    (plain, usual), (checked, passes) = ours(False), ours(True)
    if not plain == checked == made:
        raise SystemExit(f"drafts that are {name}: the texts differ")
    seconds, times = ratio(lambda: ours(True), lambda: ours(False), repetitions=repetitions)
    print(
        f"drafts {name:15s} {passes:5.1f} passes an answer ({usual:.1f}), {seconds:.2f} s, one token a pass {times:.2f}x"
    )


def common_token(model, prompts: list[list[int]]) -> int:
    """A token that the random model says in many answers, as the end of sequence: so that they end at different lengths."""
    made = generate(model, prompts, eos=-1, max_new_tokens=NEW)
    firsts: dict[int, list[int]] = {}
    for row in made:
        for token in set(row):
            firsts.setdefault(token, []).append(row.index(token))
    return max(firsts, key=lambda token: len([at for at in firsts[token] if at > 5]))


if __name__ == "__main__":
    main()
