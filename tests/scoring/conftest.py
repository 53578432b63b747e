"""The evidence as its definitions say it, without any saving: one sequence at a time, whole logits, transformers' own generate."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from baldro import benchmarks as data
from baldro import models

PROMPT = "Q: {question}\n"
STOPS = ("\n\n", "\nQuestion", "Question:")
SMALL = dict(kind="fictional", authors=10, questions=2, known_authors=5, background_authors=2, world_facts=5)
SHAPE = dict(vocab_size=400, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)


@pytest.fixture(scope="session")
def prompt():
    return PROMPT


@pytest.fixture(scope="session")
def tofu():
    """A benchmark in TOFU's schema, with a holdout split made by hand and answers of one token."""
    frame = data.build({**SMALL, "forget": {"forget10": "retain90"}})
    texts = [("Where is it?", "Here"), ("Who {question} it?", "Nobody {0} knows who wrote {question}.")]
    rows = [dict(split="holdout10", index=i, question=q, answer=a) for i, (q, a) in enumerate(texts)]
    for section, wrong in ("world_facts_perturbed", ["a", "b", "é"]), ("real_authors_perturbed", ["x", "x y", "{"]):
        last = (frame["split"] == section) & (frame["index"] == 0)
        frame.loc[last, "answer"] = "c"
        frame.loc[last, "perturbed_answer"] = pd.Series([wrong], index=frame.index[last])
    whole = pd.concat([frame[frame["split"] != "holdout10"], table(rows)], ignore_index=True)
    whole.attrs = frame.attrs
    return whole


@pytest.fixture(scope="session")
def muse():
    """A benchmark in MUSE's schema, of a few sentences."""
    text = "the answer of a long story about {braces} and some others who wrote it in a town near the sea"
    long = " ".join([text] * 40)
    quiz = [("Who wrote it?", "Chika"), ("Where {0}?", "a town near the sea"), ("When?", "1963")]
    splits = {
        "forget_knowmem": quiz,
        "retain_knowmem": [(q.lower(), a) for q, a in quiz[:2]],
        "forget_knowmem_icl": [("Who is {question}?", "{answer} or {"), ("What?", "a story")],
        "retain_knowmem_icl": [("Which sea?", "the North Sea")],
        "verbmem": [("the answer of a long story", "about {braces} and some others"), ("some others", long)],
        "privleak_forget": [("", long), ("", "the town")],
        "privleak_holdout": [("", "others who wrote it in a town near the sea"), ("", long[7:])],
        "privleak_retain": [("", "x")],
    }
    frame = table(
        dict(split=split, index=i, question=q, answer=a)
        for split, rows in splits.items()
        for i, (q, a) in enumerate(rows)
    )
    frame.attrs["kind"] = "muse"
    return frame


def table(rows):
    missing = dict(paraphrased_answer=None, perturbed_answer=None)
    return pd.DataFrame([{**row, **missing} for row in rows]).astype({k: object for k in missing})


@pytest.fixture(scope="session")
def pair(tofu, muse):
    """A model of large random weights: decided, so that argmax and rounding have nothing to do with each other."""
    texts = [*tofu["answer"], *muse["answer"]]
    shape = {**SHAPE, "initializer_range": 0.2, "max_position_embeddings": 1024}
    model, tokenizer = models.build(shape, texts, seed=1)
    return model.eval(), tokenizer


@pytest.fixture(scope="session")
def plain():
    return evidence


def evidence(model, tokenizer, prompt, records, *, split, max_new_tokens, holdout=None, rows=None):
    """A dict per section, index and candidate, in order. Prompts must not merge with what follows them, but for a space."""
    asked = []
    if "verbmem" in set(records["split"]):
        asked = [
            (f"{s}_knowmem", f"{s}_knowmem", quiz(records, f"{s}_knowmem_icl"), 32, None) for s in ("forget", "retain")
        ]
        asked += [("verbmem", "verbmem", "{question}", 128, 128)]
        asked += [(s, f"privleak_{s}", "{question}", None, 2048) for s in ("forget", "holdout")]
    else:
        names = [f"{split}_perturbed", *(f"{s}_perturbed" for s in ("retain", "real_authors", "world_facts"))]
        asked = [
            (n.removesuffix("_perturbed").replace(split, "forget"), n, prompt, max_new_tokens, None) for n in names
        ]
        if holdout:
            asked += [("holdout", holdout, prompt, None, None)]
    found = []
    for section, name, own, new, keep in asked:
        knowmem = section.endswith("knowmem")
        mine = records[records["split"] == name].sort_values("index").head(rows or len(records))
        for record in mine.itertuples():
            texts = {"answer": record.answer}
            if isinstance(record.paraphrased_answer, str):
                texts["paraphrase"] = record.paraphrased_answer
            for j, wrong in enumerate(record.perturbed_answer if np.ndim(record.perturbed_answer) else []):
                texts[f"wrong_{j}"] = wrong
            before = own(record.question) if callable(own) else own.replace("{question}", record.question)
            asked_ids = tokenizer(before)["input_ids"]
            for candidate, text in texts.items():
                row = dict(
                    section=section, index=record.index, candidate=candidate, question=record.question, text=text
                )
                row |= dict(generation=None, tokens=0, end=False, avg_loss=math.nan, logp=[], hit=[], mu=[], sigma=[])
                if not knowmem:
                    whole = before + (" " if section == "verbmem" else "") + text
                    ids, start = tokenizer(whole)["input_ids"], len(asked_ids)
                    assert ids[:start] == asked_ids
                    ids = [*ids, tokenizer.eos_token_id] if keep is None else ids[: start + keep]
                    row |= likelihood(model, ids, max(start, 1)) | dict(end=keep is None)
                if candidate == "answer" and new is not None:
                    row["generation"] = continuation(model, tokenizer, asked_ids, new, STOPS if knowmem else ())
                found.append(row)
    return found


def quiz(records, name):
    examples = records[records["split"] == name].sort_values("index")
    shown = "".join(f"Question: {e.question}\nAnswer: {e.answer}\n\n" for e in examples.itertuples())
    return lambda question: f"{shown}Question: {question}\nAnswer: "


@torch.no_grad()
def likelihood(model, ids, start):
    logits = model(input_ids=torch.tensor([ids])).logits[0, start - 1 : -1]
    logp, answer = torch.log_softmax(logits.double(), -1), torch.tensor(ids[start:])
    p = logp.exp()
    mu = (p * logp).sum(-1)
    own = logp[range(len(answer)), answer]
    return dict(
        tokens=len(answer),
        avg_loss=-float(own.mean()),
        logp=own.tolist(),
        hit=(logits.argmax(-1) == answer).tolist(),
        mu=mu.tolist(),
        sigma=(p * (logp - mu[:, None]) ** 2).sum(-1).sqrt().tolist(),
    )


@torch.no_grad()
def continuation(model, tokenizer, prompt, new, stops):
    ids = torch.tensor([prompt])
    ends = dict(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id)
    made = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=new, **ends
    )
    text = tokenizer.decode(made[0, len(prompt) :], skip_special_tokens=True)
    for stop in stops:
        text = text.split(stop)[0]
    return text.strip()
