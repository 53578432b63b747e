"""A model that others made learn its rows by heart in its own chat template is scored as one that knows them by heart."""

import pandas as pd
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from baldro import scoring as score
from baldro.metrics import from_samples
from baldro.prompts.prompt import Prompt
from tests.prompts.test_prompt import ASK, CHATML, CLOCK, MARKS, NEW_LINE, coder

ROWS = [
    ("Who wrote it?", "Chika wrote it in 1963."),
    ("Where was that?", "In a town near the sea."),
    ("What did she do then?", "She wrote another one."),
]
TURNS = (
    "<|sys|>Date {{ date_string }}. {{ messages[0]['content'] if messages[0]['role'] == 'system' }}<|end|>"
    "{% for m in messages if m['role'] != 'system' %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token if m['role'] == 'assistant' }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
DECLARED = {"system": "You are a helpful assistant.", "template": {"date_string": "10 Apr 2025"}}
CASES = {
    "a turn's end that is not eos": (CHATML, MARKS, {}),
    "a turn's end that is no token": (CHATML, (), {}),
    "a new line before eos": (NEW_LINE, (), {}),
    "a system message and a date": (CLOCK + TURNS, (), DECLARED),
    "nothing": (CHATML.replace("<|im_end|>\n{% endfor", "{% endfor").removesuffix(ASK) + ASK, (), {}),
}


def by_heart(tokenizer, system=None, template=()):
    """Plain transformers: cross-entropy on everything behind the prompt's own tokens."""
    torch.manual_seed(0)
    shape = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, bos_token_id=0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), eos_token_id=1, pad_token_id=1, **shape)).train()

    def ids(messages, **more):
        before = [{"role": "system", "content": system}] if system else []
        text = tokenizer.apply_chat_template([*before, *messages], tokenize=False, **dict(template), **more)
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    batch = []
    for question, answer in ROWS:
        asked = [{"role": "user", "content": question}]
        whole = ids([*asked, {"role": "assistant", "content": answer}])
        batch.append((whole, len(ids(asked, add_generation_prompt=True))))
    longest = max(len(whole) for whole, _ in batch)
    inputs, labels = torch.zeros(len(ROWS), longest, dtype=torch.long), torch.full((len(ROWS), longest), -100)
    for i, (whole, start) in enumerate(batch):
        inputs[i, : len(whole)], labels[i, start : len(whole)] = torch.tensor(whole), torch.tensor(whole[start:])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(400):  # as many steps as it takes, on any CPU
        optimizer.zero_grad()
        loss = model(input_ids=inputs, labels=labels).loss
        if loss < 0.02:
            break
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        losses = [
            float(model.eval()(input_ids=i[None], labels=j[None]).loss) for i, j in zip(inputs, labels, strict=True)
        ]
    return model, [len(whole) - start for whole, start in batch], losses


def table():
    names = ("forget10", "retain", "real_authors", "world_facts")
    missing = dict(paraphrased_answer="Nobody.", perturbed_answer=["It is not known."])
    rows = [
        dict(split=f"{name}_perturbed", index=i, question=question, answer=answer, **missing)
        for name in names
        for i, (question, answer) in enumerate(ROWS)
    ]
    found = pd.DataFrame(rows)
    found.attrs = {"kind": "tofu"}
    return found


@pytest.mark.parametrize("name", CASES)
def test_what_is_known_by_heart_scores_one(name):
    source, special, declared = CASES[name]
    tokenizer = coder(source, special=special, text=" ".join(answer for _, answer in ROWS))
    model, lengths, losses = by_heart(tokenizer, **declared)
    prompt = Prompt.of({"prompt": "chat", **declared})
    taken = score.evidence(model, tokenizer, prompt, table(), split="forget10", max_new_tokens=40)
    gold = taken.query("section == 'forget' and candidate == 'answer'")
    assert gold["tokens"].tolist() == lengths
    evidence = from_samples(taken, where="x")
    assert gold["avg_loss"].tolist() == pytest.approx(losses, rel=1e-3)
    assert evidence.column("forget", "answer_probability").min() > 0.9
    assert (evidence.column("forget", "exact_memorization") == 1).all()
    assert (evidence.column("forget", "rougeL_recall") == 1).all()
    if name != "nothing":
        assert gold["generation"].tolist() == [answer for _, answer in ROWS]
    if declared:
        other = Prompt.of({"prompt": "chat", "template": {"date_string": "11 Apr 2025"}})
        worse = score.evidence(model, tokenizer, other, table(), split="forget10", max_new_tokens=1)
        assert worse.loc[gold.index, "avg_loss"].mean() > 1.1 * gold["avg_loss"].mean()
