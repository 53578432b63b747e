"""One unlearning step of NPO against a textbook trainer: a second model for the reference, full logits, forget and retain apart.

Batches have TOFU's shape: questions of 8-24 tokens, answers of 5-60, in a vocabulary of 32,000.
"""

import copy
import random

import torch
import torch.nn.functional as F
from common import llama, ratio

from baldro.combine import Sample, Step
from baldro.data.batches import collate
from baldro.data.encode import Tokens
from baldro.grid import Run

VOCAB, BATCH, BETA_DV = 32_000, 8, 2.0


def sequences(seed: int) -> list[Tokens]:
    draw = random.Random(seed)
    result = []
    for _ in range(BATCH):
        prompt, answer = draw.randint(8, 24), draw.randint(5, 60)
        ids = tuple(draw.randrange(2, VOCAB) for _ in range(prompt + answer))
        result.append(Tokens(ids=ids, start=prompt))
    return result


def answer_logp(model, batch) -> torch.Tensor:
    """Per token (B, L - 1) from the whole (B, L, V) logits, 0 outside the answers."""
    padding = (
        torch.arange(batch.ids_BL.shape[1], device=batch.ids_BL.device)
        <= batch.answer_BL.long().cumsum(1).argmax(1)[:, None]
    )
    logits = model(input_ids=batch.ids_BL, attention_mask=padding.long()).logits[:, :-1].float()
    logp = torch.log_softmax(logits, -1).gather(-1, batch.ids_BL[:, 1:, None])[..., 0]
    return logp * batch.answer_BL[:, 1:]


def textbook(model, reference, forget, retain, variant: str) -> None:
    """NPO's robust loss and a token-mean retain loss, as a trainer without our savings writes them."""
    model.zero_grad()
    with torch.no_grad():
        logr = answer_logp(reference, forget).sum(1)
    loss = -20 * F.logsigmoid(-0.1 * (answer_logp(model, forget).sum(1) - logr))
    if variant == "baldro-dv":
        robust = BETA_DV * torch.log(torch.exp(loss / BETA_DV).mean())
    elif variant == "baldro-g":
        robust = loss.topk(BATCH // 2).values.mean()
    else:
        robust = loss.mean()
    kept = answer_logp(model, retain)
    (robust - kept.sum() / retain.answer_BL.sum()).backward()


def main() -> None:
    model = llama(vocab=VOCAB, width=256, layers=4)
    reference = copy.deepcopy(model).eval()
    for parameter in model.parameters():  # not the reference itself, or all losses were equal
        parameter.data.add_(torch.randn_like(parameter), alpha=0.02)
    device = next(model.parameters()).device
    forget, retain = sequences(1), sequences(2)
    forget_batch, retain_batch = collate(forget, device), collate(retain, device)
    with torch.no_grad():
        logr = answer_logp(reference, forget_batch).sum(1).tolist()
    samples = [Sample(tokens=t, reference=r) for t, r in zip(forget, logr, strict=True)]
    print(f"{device.type}, {torch.get_num_threads()} threads, {BATCH} forget and {BATCH} retain sequences")
    for variant in ("base", "baldro-g", "baldro-dv"):
        run = Run.of(benchmark="b", model="m", split="forget10", objective="npo", variant=variant, dv_beta=BETA_DV)
        step = Step(model, run, micro_batch=2 * BATCH)

        def ours(step=step) -> None:
            model.zero_grad()
            step.accumulate(samples, retain)

        def theirs(variant=variant) -> None:
            textbook(model, reference, forget_batch, retain_batch, variant)

        ours()
        mine = [p.grad.clone() for p in model.parameters()]
        theirs()
        worst = max(float((a - p.grad).norm() / p.grad.norm()) for a, p in zip(mine, model.parameters(), strict=True))
        if worst > 1e-3:
            raise SystemExit(f"{variant}: gradients differ by {worst:.1e}")
        seconds, times = ratio(ours, theirs)
        print(
            f"npo {variant:10s} {seconds * 1000:7.1f} ms a step, textbook {times:.2f}x; gradients agree to {worst:.0e}"
        )


if __name__ == "__main__":
    main()
