"""One unlearning step against a textbook trainer: a second model for the reference, full logits, forget and retain apart.

Batches have TOFU's shape: questions of 8-24 tokens, answers of 5-60, in a vocabulary of 32,000.
"""

import copy
import random

import torch
import torch.nn.functional as F
from common import bound, llama, ratio

from baldro.prompts.batches import collate
from baldro.prompts.encode import Tokens
from baldro.runs import Run
from baldro.training.update import Sample, Step, cache_reference

VOCAB, WIDTH, BATCH, BETA_DV = 32_000, 256, 8, 2.0


def sequences(seed: int) -> list[Tokens]:
    draw = random.Random(seed)
    result = []
    for _ in range(BATCH):
        prompt, answer = draw.randint(8, 24), draw.randint(5, 60)
        ids = tuple(draw.randrange(2, VOCAB) for _ in range(prompt + answer))
        result.append(Tokens(ids=ids, start=prompt))
    return result


def answer_logits(model, batch) -> torch.Tensor:
    """The whole (B, L - 1, V)."""
    padding = (
        torch.arange(batch.ids_BL.shape[1], device=batch.ids_BL.device)
        <= batch.answer_BL.long().cumsum(1).argmax(1)[:, None]
    )
    return model(input_ids=batch.ids_BL, attention_mask=padding.long()).logits[:, :-1].float()


def answer_logp(model, batch) -> torch.Tensor:
    """Per token (B, L - 1), 0 outside the answers."""
    logp = torch.log_softmax(answer_logits(model, batch), -1).gather(-1, batch.ids_BL[:, 1:, None])[..., 0]
    return logp * batch.answer_BL[:, 1:]


def forget_losses(model, reference, batch, objective: str) -> torch.Tensor:
    if objective == "npo":
        with torch.no_grad():
            logr = answer_logp(reference, batch).sum(1)
        return -20 * F.logsigmoid(-0.1 * (answer_logp(model, batch).sum(1) - logr))
    with torch.no_grad():
        target = answer_logits(reference, batch)
        target.scatter_add_(-1, batch.ids_BL[:, 1:, None], torch.full_like(target[..., :1], -10))
        target = target.softmax(-1)
    ce = -(target * torch.log_softmax(answer_logits(model, batch), -1)).sum(-1)
    return (ce * batch.answer_BL[:, 1:]).sum(1) / batch.answer_BL[:, 1:].sum(1)


def retain_loss(model, reference, batch, kind: str) -> torch.Tensor:
    if kind == "kl":
        with torch.no_grad():
            target = torch.log_softmax(answer_logits(reference, batch), -1)
        kl = (target.exp() * (target - torch.log_softmax(answer_logits(model, batch), -1))).sum(-1)
        return (kl * batch.answer_BL[:, 1:]).sum() / batch.answer_BL.sum()
    return -answer_logp(model, batch).sum() / batch.answer_BL.sum()


def textbook(model, reference, forget, retain, run: Run) -> None:
    """Robust loss and retain loss, as a trainer without our savings writes them."""
    model.zero_grad()
    loss = forget_losses(model, reference, forget, run.objective)
    if run.variant == "baldro-dv":
        robust = BETA_DV * torch.log(torch.exp(loss / BETA_DV).mean())
    elif run.variant == "baldro-g":
        robust = loss.topk(BATCH // 2).values.mean()
    else:
        robust = loss.mean()
    kept = retain_loss(model, reference, retain, run.retain_loss)
    if run.combiner == "sum":
        return (robust + kept).backward()
    parameters = list(model.parameters())
    f, r = (torch.cat([g.flatten() for g in torch.autograd.grad(half, parameters)]) for half in (robust, kept))
    update = r + (1 - torch.dot(r, f) / torch.dot(f, f)) * f
    for parameter, grad in zip(parameters, update.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = grad.view_as(parameter)


CASES = {
    "npo base": dict(objective="npo"),
    "npo baldro-g": dict(objective="npo", variant="baldro-g"),
    "npo baldro-dv": dict(objective="npo", variant="baldro-dv"),
    "npo, retain kl": dict(objective="npo", retain_loss="kl"),
    "npo, blur": dict(objective="npo", combiner="blur"),
    "undial base": dict(objective="undial"),
}


def main() -> None:
    model = llama(vocab=VOCAB, width=WIDTH, layers=4)
    reference = copy.deepcopy(model).eval()
    for parameter in model.parameters():  # not the reference itself, or all losses were equal
        parameter.data.add_(torch.randn_like(parameter), alpha=0.02)
    device = next(model.parameters()).device
    forget, retain = sequences(1), sequences(2)
    forget_batch, retain_batch = collate(forget, device), collate(retain, device)
    with torch.no_grad():
        logr = answer_logp(reference, forget_batch)
    logr = [row[mask].tolist() for row, mask in zip(logr, forget_batch.answer_BL[:, 1:], strict=True)]
    samples = [Sample(tokens=t, reference=r) for t, r in zip(forget, logr, strict=True)]
    tokens = sum(len(each.ids) for each in forget + retain)
    print(f"{device.type}, {torch.get_num_threads()} threads, {BATCH} forget and {BATCH} retain sequences")
    for name, method in CASES.items():
        run = Run.of(benchmark="b", model="m", split="forget10", dv_beta=BETA_DV, **method)
        cache = cache_reference(reference, run, forget=forget, retain=retain)
        step = Step(model, run, micro_batch=2 * BATCH, cache=cache)

        def ours(step=step) -> None:
            model.zero_grad()
            step.accumulate(samples, retain)

        def theirs(run=run) -> None:
            textbook(model, reference, forget_batch, retain_batch, run)

        ours()
        mine = [p.grad.clone() for p in model.parameters()]
        theirs()
        worst = max(float((a - p.grad).norm() / p.grad.norm()) for a, p in zip(mine, model.parameters(), strict=True))
        if worst > 1e-3:
            raise SystemExit(f"{name}: gradients differ by {worst:.1e}")
        seconds, times = ratio(ours, theirs)
        print(f"{name:16s} {seconds * 1000:7.1f} ms a step, textbook {times:.2f}x; gradients agree to {worst:.0e}")
        print(f"{'':16s} {bound(ours, theirs, seconds, rows=tokens, width=WIDTH)}")


if __name__ == "__main__":
    main()
