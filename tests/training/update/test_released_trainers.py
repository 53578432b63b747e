"""Released trainers whole, in float64: their loss of one micro-batch after the other, padded, against one step of ours.

Written from what the trainers of BalDRO (github nxZhai/BalDRO, 12a0b0c) and open-unlearning (d3d7cf9) compute; against their own classes,
in float64, the same options give the same gradients to 1e-15 (where transformers' loss, which computes in float32, has no part).
"""

import pytest
import torch
import torch.nn.functional as F

from .conftest import CLOSE

SIZE, GAMMA, ALPHA = 3, 0.7, 1.3
COUNT = 7
"""Forget and as many retain samples: micro-batches of 3, 3 and 1."""


def padded(sequences):
    """Token ids, and labels: those of answer tokens, -100 elsewhere."""
    length = max(len(s.ids) for s in sequences)
    ids = torch.tensor([[*s.ids, *[63] * (length - len(s.ids))] for s in sequences])
    labels = ids.clone()
    for row, s in zip(labels, sequences, strict=True):
        row[: s.start] = row[len(s.ids) :] = -100
    return ids, labels


class Padded:
    """A micro-batch as a trainer has it."""

    def __init__(self, model, sequences):
        ids, labels = padded(sequences)
        self.logits, self.labels = model(ids).logits[:, :-1], labels[:, 1:]
        self.answers = self.labels != -100
        self.ce = F.cross_entropy(self.logits.transpose(1, 2), self.labels, ignore_index=-100, reduction="none")

    def sums(self):
        return self.ce.sum(1)

    def tokens(self):
        return self.ce[self.answers]

    def means(self):
        return self.sums() / self.answers.sum(1)


def satimp(batch):
    p = (-batch.ce).exp().detach()
    return (-(p**0.6) * (1 - p) * batch.ce)[batch.answers]


def wga(batch):
    return (-(-0.5 * batch.ce).exp().detach() * batch.ce)[batch.answers]


def ceu(batch):
    """Without the author's option to leave out first tokens."""
    z, y = batch.logits[batch.answers], batch.labels[batch.answers]
    return -(z.detach().scatter(1, y[:, None], -torch.inf).softmax(1) * z.log_softmax(1)).sum(1)


def npo(batch, reference):
    return -2 / 0.1 * F.logsigmoid(0.1 * (batch.sums() - reference.sums()))


def simnpo(batch, _reference):
    return -2 / 1.5 * F.logsigmoid(1.5 * (batch.means() - 5))


def soft_minimum(losses, beta):
    return -beta * torch.log(torch.exp(-losses / beta).mean())


def plain(loss, retain):
    """Base: forget loss, mean over the retain tokens."""
    return GAMMA * loss + ALPHA * retain.tokens().mean()


def by_sample(function, beta=None, retain_beta=None, sums=False):
    """NPO, SimNPO; with beta their DV forms; retain loss of token sums, and DRO of them."""

    def value(model, reference, forget, retain):
        with torch.no_grad():
            then = Padded(reference, forget)
        losses, kept = function(Padded(model, forget), then), Padded(model, retain)
        loss = losses.mean() if beta is None else soft_minimum(losses, beta)
        if not sums:
            return plain(loss, kept)
        retained = kept.sums().mean() if retain_beta is None else soft_minimum(kept.sums(), retain_beta)
        return GAMMA * loss + ALPHA * retained

    return value


def by_token(function, beta=None):
    """GradDiff, SatImp, WGA, CE-U: the mean over the micro-batch's answer tokens; with beta the DV form over them, with token sums."""

    def value(model, _reference, forget, retain):
        units, kept = function(Padded(model, forget)), Padded(model, retain)
        if beta is None:
            return plain(units.mean(), kept)
        return GAMMA * soft_minimum(units, beta) + ALPHA * kept.sums().mean()

    return value


def group(form):
    """Half of the forget samples, those that the model knows best, and as many retain samples."""

    def value(model, reference, forget, retain):
        hard = (-Padded(model, forget).means()).topk(max(1, len(forget) // 2)).indices.tolist()
        return form(model, reference, [forget[i] for i in hard], retain[: len(hard)])

    return value


EASY = dict(variant="baldro-dv", dv_direction="easy")
SUMS = dict(retain_normalisation="token-sum")
G = dict(variant="baldro-g", g_rank="likelihood", g_retain="cut")
MEAN = dict(forget_normalisation="token-mean")
WORST = dict(retain_variant="baldro-dv", retain_dv_beta=9, retain_dv_direction="easy", **SUMS)
TRAINERS = {
    "NPO": (by_sample(npo), "npo", {}),
    "SimNPO": (by_sample(simnpo), "simnpo", {}),
    "GradDiff": (by_token(lambda batch: -batch.tokens()), "graddiff", MEAN),
    "SatImp": (by_token(satimp), "satimp", MEAN),
    "WGA": (by_token(wga), "wga", MEAN),
    "CE-U": (by_token(ceu), "ceu", MEAN),
    "DrNPO": (by_sample(npo, beta=6, sums=True), "npo", dict(dv_beta=6, **EASY, **SUMS)),
    "DrNPO, retain": (by_sample(npo, beta=6, retain_beta=9, sums=True), "npo", dict(dv_beta=6, **EASY, **WORST)),
    "retain alone": (by_sample(npo, retain_beta=9, sums=True), "npo", WORST),
    "DrSimNPO": (by_sample(simnpo, beta=0.5), "simnpo", dict(dv_beta=0.5, **EASY)),
    "DrSatImp": (by_token(satimp, beta=0.03), "satimp", dict(dv_beta=0.03, dv_level="token", **EASY, **SUMS)),
    "GroupNPO": (group(by_sample(npo)), "npo", G),
    "GroupSimNPO": (group(by_sample(simnpo)), "simnpo", G),
    "GroupSatImp": (group(by_token(satimp)), "satimp", G | MEAN),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_a_released_trainer_is_a_choice_of_options(book, name):
    form, objective, options = TRAINERS[name]
    forget, retain = book.forget_batch(COUNT), book.draw(COUNT, seed=2)
    starts = range(0, COUNT, SIZE)
    parts = [
        form(book.model, book.reference, [s.tokens for s in forget[at : at + SIZE]], retain[at : at + SIZE])
        for at in starts
    ]
    value = sum(parts) / len(starts)
    expected = book.gradient(value)
    options = dict(forget_weight=GAMMA, retain_weight=ALPHA) | options
    run = book.point(objective, **options, robust_scope="micro-batch", micro_batch_size=SIZE)
    for micro_batch in (64, 2):
        gradients, step_log = book.ours(run, forget, retain, micro_batch=micro_batch)
        assert book.distance(gradients, expected) < CLOSE
        if "Dr" not in name and name != "retain alone":  # there the value is no weighted mean
            logged = GAMMA * float((step_log.weight_B * step_log.loss_B).sum()) + ALPHA * step_log.retain
            assert logged == pytest.approx(value.item(), rel=1e-5)
    whole = book.point(objective, **options)
    assert book.distance(book.ours(whole, forget, retain)[0], expected) > 0.01, "the scope changes nothing here"


def test_gradient_ascent_has_no_retain_half(book):
    forget = [s.tokens for s in book.forget_batch(COUNT)]
    parts = [-Padded(book.model, forget[at : at + SIZE]).tokens().mean() for at in range(0, COUNT, SIZE)]
    expected = book.gradient(sum(parts) / len(parts))
    run = book.point("gradascent", **MEAN, robust_scope="micro-batch", micro_batch_size=SIZE)
    assert book.distance(book.ours(run, book.forget_batch(COUNT), [])[0], expected) < CLOSE


@pytest.mark.parametrize("variant", [{}, dict(variant="baldro-g"), dict(variant="baldro-dv", dv_beta=0.03)])
def test_a_token_mean_is_the_batchs_whatever_the_pieces(book, variant):
    """Plain: transformers' own loss of the padded batch, which is the mean over its answer tokens."""
    forget, retain = book.forget_batch(COUNT), book.draw(COUNT, seed=2)
    run = book.point("graddiff", **variant, **MEAN)
    whole, logged = book.ours(run, forget, retain)
    for micro_batch in (3, 1):
        gradients, step_log = book.ours(run, forget, retain, micro_batch=micro_batch)
        assert book.distance(gradients, whole) < CLOSE
        assert step_log.loss_B.tolist() == pytest.approx(logged.loss_B.tolist(), rel=1e-5)
    if not variant:
        ids, labels = padded([s.tokens for s in forget])
        told = -book.model(input_ids=ids, labels=labels).loss.item()
        assert logged.loss_B.mean().item() == pytest.approx(told, rel=1e-5)
        assert not torch.allclose(logged.loss_B, book.ours(book.point("graddiff"), forget, retain)[1].loss_B, rtol=0.1)
