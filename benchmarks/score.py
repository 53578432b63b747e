"""Taking the evidence against a textbook evaluation: a pass with whole logits for each metric and candidate, unsorted batches, generate.

By default a random model and a generated benchmark; --model FOLDER --benchmark FILE.parquet --split forget10 for real ones.
"""

import argparse
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from common import bound, llama, ratio
from generate import common_token

from baldro import benchmarks as data
from baldro import models
from baldro.prompts.encode import Tokens, encode
from baldro.scoring import candidates, evidence

PROMPT, BATCH, TOLERANCE, FRACTION = "{question}\n", 16, 1e-5, 0.4
PLAIN = {"likelihoods": dict(generate=False), "generation": dict(likelihood=False), "in all": {}}


def nll(row: dict) -> float:
    return -float(np.mean(row["logp"], dtype=np.float64))


def probability(row: dict) -> float:
    return float(np.exp(-nll(row)))


def zipped(row: dict) -> float:
    return nll(row) / len(zlib.compress(row["text"].encode()))


def exact(row: dict) -> float:
    return float(np.mean(row["hit"][:-1]))


def strength(row: dict) -> float:
    missed = np.flatnonzero(~np.asarray(row["hit"][:-1], dtype=bool))
    return 1 - (missed[-1] + 1 if len(missed) else 0) / (len(row["hit"]) - 1)


def lowest(values: np.ndarray) -> float:
    return -float(np.mean(np.sort(values)[: max(1, int(FRACTION * len(values)))], dtype=np.float64))


def min_k(row: dict) -> float:
    return lowest(np.asarray(row["logp"][:-1]))


def min_k_plus_plus(row: dict) -> float:
    logp, mu, sigma = (np.asarray(row[name][:-1], dtype=np.float64) for name in ("logp", "mu", "sigma"))
    return lowest((logp - mu) / np.maximum(sigma, 1e-3))


@dataclass(frozen=True)
class Pass:
    """A metric, the candidates that it reads, what it needs of the logits, and its value of a row."""

    name: str
    rows: Callable[[pd.DataFrame], pd.Series]
    needs: str
    value: Callable[[dict], float]


def sentence(f: pd.DataFrame) -> pd.Series:
    return f["section"].isin(["forget", "retain"])


def option(f: pd.DataFrame) -> pd.Series:
    return f["section"].isin(["real_authors", "world_facts"])


def wrong(f: pd.DataFrame) -> pd.Series:
    return f["candidate"].str.startswith("wrong")


def right(f: pd.DataFrame) -> pd.Series:
    return f["candidate"] == "answer"


def member(f: pd.DataFrame) -> pd.Series:
    return f["section"].isin(["forget", "holdout"]) & right(f)


def forget(f: pd.DataFrame) -> pd.Series:
    return (f["section"] == "forget") & right(f)


PASSES = [
    Pass("probability", lambda f: right(f) & (f["section"] != "holdout") | option(f), "logp", probability),
    Pass("paraphrase probability", lambda f: f["candidate"] == "paraphrase", "logp", probability),
    Pass("perturbed probability", lambda f: sentence(f) & wrong(f), "logp", probability),
    Pass("truth ratio, right", lambda f: (f["candidate"] == "paraphrase") | option(f) & right(f), "logp", nll),
    Pass("truth ratio, wrong", wrong, "logp", nll),
    Pass("exact memorisation", forget, "hit", exact),
    Pass("extraction strength", forget, "hit", strength),
    Pass("loss attack", member, "logp", nll),
    Pass("zlib attack", member, "logp", zipped),
    Pass("min-k attack", member, "logp", min_k),
    Pass("min-k++ attack", member, "all", min_k_plus_plus),
]


@torch.inference_mode()
def whole_logits(model, sequences: list[Tokens], needs: str) -> list[dict]:
    """What a metric needs of each sequence, from padded (B, L, V) logits, in batches as they come."""
    device, result = next(model.parameters()).device, []
    for at in range(0, len(sequences), BATCH):
        some = sequences[at : at + BATCH]
        longest = max(len(s.ids) for s in some)
        ids = torch.tensor([[*s.ids, *[0] * (longest - len(s.ids))] for s in some], device=device)
        mask = torch.tensor([[1] * len(s.ids) + [0] * (longest - len(s.ids)) for s in some], device=device)
        logits, target = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float(), ids[:, 1:]
        found = {}
        if needs == "hit":
            found["hit"] = logits.argmax(-1) == target
        elif needs == "logp":
            loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
            found["logp"] = -loss.reshape(target.shape)
        else:
            logp = logits.log_softmax(-1)
            found["logp"] = logp.gather(-1, target[..., None])[..., 0]
            found["mu"] = (logp.exp() * logp).sum(-1)
            found["sigma"] = (logp.exp() * (logp - found["mu"][..., None]).square()).sum(-1).sqrt()
        columns = {name: values.cpu().numpy() for name, values in found.items()}
        result += [{n: v[b, s.start - 1 : len(s.ids) - 1] for n, v in columns.items()} for b, s in enumerate(some)]
    return result


@torch.inference_mode()
def continuations(model, tokenizer, prompts: list[tuple[int, ...]], new: int) -> list[str]:
    """transformers' generate in batches as they come; a batch runs until its last row has finished."""
    device, texts = next(model.parameters()).device, []
    for at in range(0, len(prompts), BATCH):
        some = prompts[at : at + BATCH]
        longest = max(map(len, some))
        ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in some], device=device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in some], device=device)
        made = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=new, pad_token_id=1)
        ends = {*as_list(model.generation_config.eos_token_id)}
        for row in made[:, longest:].tolist():
            stop = next((t for t, token in enumerate(row) if token in ends), len(row))
            texts.append(tokenizer.decode(row[:stop], skip_special_tokens=True).strip())
    return texts


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def aggregate(values: dict[str, dict[tuple, float]]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Metrics, and their values per sample, from the passes' values by (section, index, candidate)."""
    losses: dict[tuple, list[float]] = {}
    for (section, index, _), loss in values["truth ratio, wrong"].items():
        losses.setdefault((section, index), []).append(loss)
    right_loss = {key[:2]: loss for key, loss in values["truth ratio, right"].items()}
    ratios = {key: np.exp(-np.mean(rows)) / (np.exp(-right_loss[key]) + 1e-10) for key, rows in losses.items()}
    per_sample = {name: list(found.values()) for name, found in values.items() if not name.startswith("truth ratio")}
    per_sample["truth ratio"] = [min(r, 1 / (r + 1e-10)) for r in ratios.values()]
    metrics = {name: float(np.mean(found)) for name, found in per_sample.items()}
    for name in [p.name for p in PASSES if p.name.endswith("attack")]:
        members = [v for key, v in values[name].items() if key[0] == "forget"]
        others = np.array([v for key, v in values[name].items() if key[0] == "holdout"])
        if len(others):
            metrics[f"{name}, AUC"] = float(np.mean([np.mean(others > m) + np.mean(others == m) / 2 for m in members]))
    return metrics, per_sample


def given(options) -> tuple:
    """Model, tokenizer and records."""
    if options.model:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return (
            models.load(options.model).to(device),
            models.tokenizer(options.model),
            pd.read_parquet(options.benchmark),
        )
    records = data.build(dict(kind="fictional", authors=100, forget={"forget10": "retain90"}))
    texts = sorted({*records["question"], *records["answer"]})
    _, tokenizer = models.build(dict(vocab_size=4096, hidden_size=8, num_attention_heads=1), texts, seed=0)
    model = llama(vocab=4096, width=256, layers=4).eval()
    questions = data.split(records, "forget10")["question"][:32]
    ending = common_token(model, [tokenizer(PROMPT.replace("{question}", q))["input_ids"] for q in questions])
    model.generation_config.eos_token_id = [1, ending]  # so that answers end at different lengths
    return model, tokenizer, records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a folder of transformers")
    parser.add_argument("--benchmark", help="a table that `baldro benchmark` wrote")
    parser.add_argument("--split", default="forget10")
    parser.add_argument("--holdout", default="holdout10", help="the split that no model saw")
    parser.add_argument("--rows", type=int, default=10, help="of each section")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    if bool(options.model) != bool(options.benchmark):
        parser.error("--model and --benchmark go together")
    model, tokenizer, records = given(options)
    model.eval()
    wanted = data.sections(records, options.split, options.holdout)
    frame = candidates(records, wanted, options.rows)
    pairs = list(zip(frame["question"], frame["text"], strict=True))
    sequences = encode(tokenizer, PROMPT, pairs, longest=models.positions(model))
    asked = np.flatnonzero(right(frame) & (frame["section"] != "holdout"))
    prompts = [sequences[i].ids[: sequences[i].start] for i in asked]
    chosen = {p.name: np.flatnonzero(p.rows(frame)) for p in PASSES}
    keys = list(zip(frame["section"], frame["index"], frame["candidate"], strict=True))

    def ours(**changes) -> pd.DataFrame:
        kind = data.kind_of(records, where="the benchmark")
        before = kind.sections
        kind.sections = tuple(replace(s, **changes) for s in before)
        try:
            settled = dict(
                split=options.split,
                holdout=options.holdout,
                max_new_tokens=options.max_new_tokens,
                evaluate_rows=options.rows,
            )
            return evidence(model, tokenizer, PROMPT, records, **settled)
        finally:
            kind.sections = before

    def scored() -> dict[str, list[dict]]:
        return {p.name: whole_logits(model, [sequences[i] for i in chosen[p.name]], p.needs) for p in PASSES}

    def continued() -> list[str]:
        return continuations(model, tokenizer, prompts, options.max_new_tokens)

    mine, theirs, texts = ours(), scored(), continued()
    rows = mine.to_dict("records")
    values = {p.name: {keys[i]: p.value(rows[i]) for i in chosen[p.name]} for p in PASSES}
    other = {
        p.name: {keys[i]: p.value({"text": pairs[i][1], **row}) for i, row in zip(chosen[p.name], theirs[p.name], strict=True)}
        for p in PASSES
    }  # fmt: skip
    (metrics, samples), (their_metrics, their_samples) = aggregate(values), aggregate(other)
    worst = max(metrics, key=lambda name: abs(metrics[name] - their_metrics[name]))
    gap = abs(metrics[worst] - their_metrics[worst])
    furthest = max(float(np.abs(np.subtract(samples[n], their_samples[n])).max()) for n in samples)
    different = sum(a != b for a, b in zip([rows[i]["generation"] for i in asked], texts, strict=True))
    forwards = sum(len(c) for c in chosen.values())
    print(
        f"{len(frame)} answers to {len(asked)} questions; the textbook's passes forward {forwards}; {torch.get_num_threads()} threads"
    )
    print(
        f"{len(metrics)} metrics: largest difference {gap:.0e} ({worst}), of one sample {furthest:.0e}; {different} texts differ"
    )
    textbook = {"likelihoods": scored, "generation": continued, "in all": lambda: (scored(), continued())}
    for part, changes in PLAIN.items():
        own = partial(ours, **changes)
        seconds, times = ratio(own, textbook[part], repetitions=options.repetitions)
        print(f"{part:12s} {seconds:6.2f} s, textbook {times:.2f}x")
        print(f"{'':12s} {bound(own, textbook[part], seconds, rows=1024, width=model.config.hidden_size)}")
    if gap > TOLERANCE or different:
        raise SystemExit("the metrics or texts differ")


if __name__ == "__main__":
    main()
