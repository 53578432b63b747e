"""Chat templates as users bring them: what they read is declared, how they end an answer is kept, what cannot be right is one line."""

import json

import pytest
import yaml
from refusals import refused
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers import models as cores
from transformers import PreTrainedTokenizerFast

from baldro.prompts.encode import encode, encode_prompts, ends, try_prompt
from baldro.prompts.prompt import Prompt
from baldro.prompts.render import render
from tests.conftest import ROOT

QUESTION, ANSWER = "Who wrote it?", "Chika wrote it in 1963."
CLOCK = """{%- if not date_string is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}"""
TURNS = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
ASK = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
CHATML = TURNS + ASK
DATED = CLOCK + "Today is {{ date_string }}.\n" + CHATML
LLAMA_2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
NEW_LINE = (
    "{% for m in messages %}{{ m['role'] }}:\n{{ m['content'] | trim }}\n"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant:\n{% endif %}"
)
WANTS_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ raise_exception('first message must be system') }}{% endif %}"
)
THINK = TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
SWITCHED = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ '<think>\n\n</think>\n\n' if m['role'] == 'assistant' }}"
    "{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}{% endif %}"
)
LLAMA_3 = (  # our own wording of what Llama 3's templates render of a system message, a question and an answer
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}{{ bos_token }}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: ' + date_string + '\n\n' }}"
    "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] | trim }}{% endif %}{{ '<|eot_id|>' }}"
    "{% for m in messages if m['role'] != 'system' %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def coder(template=None, *, special=(), eos="</s>", bos="<s>", text=""):
    """A byte-level tokenizer of about 300 tokens."""
    core = Tokenizer(cores.BPE())
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(dict.fromkeys([bos, eos, *special])),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([QUESTION, ANSWER, text] * 3, trainer)
    core.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, 0)])
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=bos, eos_token=eos)
    made.chat_template = template
    return made


def chat(**declared):
    return Prompt.of({"prompt": "chat", **declared})


def one(tokenizer, prompt, question=QUESTION, answer=ANSWER):
    return encode(tokenizer, prompt, [(question, answer)], longest=10**6)[0]


MARKS = ("<|im_start|>", "<|im_end|>")


@pytest.mark.parametrize(
    "template, special, end, stops, text",
    [
        (CHATML, MARKS, "<|im_end|>\n", {"<|im_end|>", "</s>"}, ()),
        (CHATML, (), "<|im_end|>\n", {"</s>"}, ("<|im_end|>",)),  # a mark that is no token of its own
        (NEW_LINE, (), "\n</s>", {"</s>"}, ()),
        (LLAMA_2, (), " </s>", {"</s>"}, ()),
        (TURNS.replace("<|im_end|>\n", "") + ASK, MARKS, "", {"</s>"}, ()),
    ],
)
def test_an_answer_ends_as_the_template_ends_it(template, special, end, stops, text):
    """Against transformers' own rendering: the sequence is the conversation's ids and nothing else."""
    made = coder(template, special=special)
    tokens = one(made, "chat")
    messages = [{"role": "user", "content": QUESTION}]
    asked = made.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    whole = made.apply_chat_template([*messages, {"role": "assistant", "content": ANSWER}], tokenize=False)
    assert list(tokens.ids) == made(whole, add_special_tokens=False)["input_ids"]
    assert tokens.start == len(made(asked, add_special_tokens=False)["input_ids"])
    kept = tokens.without_end.ids[tokens.start :]
    assert made.decode(kept).strip() == ANSWER and made.decode(tokens.ids[len(tokens.ids) - tokens.end :]) == end
    named, texts = ends(made, "chat")
    assert ({made.decode([token]) for token in named}, texts) == (stops, text)


def test_a_plain_prompt_ends_in_the_end_of_sequence():
    made = coder(CHATML, special=MARKS)
    tokens = one(made, "{question}\n")
    assert tokens.end == 1 and tokens.ids[-1] == made.eos_token_id
    assert ends(made, "{question}\n") == ({made.eos_token_id}, ())


def test_a_token_across_answer_and_end_is_the_answers():
    made = coder(NEW_LINE, text="Yes.\nNo.\n")
    merged = made(".\n", add_special_tokens=False)["input_ids"]
    tokens = one(made, "chat", answer="Chika.")
    assert tokens.end == 1 if len(merged) == 1 else 2
    assert made.decode(tokens.without_end.ids[tokens.start :]).strip() == "Chika."


def test_the_date_is_declared_or_the_template_refused(monkeypatch):
    """The same ids whatever the day; the clock of this machine is never asked."""
    made = coder(DATED)
    with refused("template-reads-clock", "strftime_now('%d %b %Y')", 'date: "2025-04-10"'):
        try_prompt(made, "chat")
    by_argument = render(made, chat(template={"date_string": "10 Apr 2025"}), QUESTION, ANSWER)
    assert by_argument == render(made, chat(date="2025-04-10"), QUESTION, ANSWER)
    assert by_argument.before.startswith("Today is 10 Apr 2025.\n<|im_start|>user")
    other = render(made, chat(date="2025-04-11"), QUESTION, ANSWER)
    assert other.before == by_argument.before.replace("10 Apr", "11 Apr")


def test_a_form_of_the_date_that_the_template_computes():
    made = coder("{% set form = '%Y' ~ '-%m' %}{{ strftime_now(form) }}{{ strftime_now(format='%d') }} " + CHATML)
    with refused("template-reads-clock"):
        try_prompt(made, "chat")
    assert render(made, chat(date="2025-04-10"), QUESTION, ANSWER).before.startswith("2025-0410 <|im_start|>")


def test_a_clock_leaves_no_trace():
    """White space at a template's beginning is what it was."""
    for head in ("\n", "  ", "  {% if true %}x{% endif %}\n"):
        source = head + "{{ strftime_now('%Y') if ask is defined }}" + CHATML
        made, plain = coder(source), coder(source.replace("strftime_now('%Y')", "2025"))
        assert render(made, "chat", QUESTION, ANSWER) == render(plain, "chat", QUESTION, ANSWER)


def test_a_system_message_is_declared():
    made = coder(WANTS_SYSTEM + CHATML)
    with refused("template-refuses-messages", "first message must be system", "`system` in the model's entry"):
        try_prompt(made, "chat")
    before = render(made, chat(system="Be brief."), QUESTION, ANSWER).before
    assert (
        before
        == f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    )
    dropped = coder("{% for m in messages if m['role'] != 'system' %}{{ m['content'] }}\n{% endfor %}")
    with refused("template-alters-text", "system message"):
        try_prompt(dropped, chat(system="Be brief."))


def test_a_thought_in_the_generation_prompt_only():
    with refused("generation-prompt-differs", r"'<think>\n'", "enable_thinking: false"):
        try_prompt(coder(THINK), "chat")
    made = coder(SWITCHED)
    before = render(made, chat(template={"enable_thinking": False}), QUESTION, ANSWER).before
    assert before.endswith("assistant\n<think>\n\n</think>\n\n")


@pytest.mark.parametrize(
    "template, declared, code, fact",
    [
        ("{{ raise_exception('Roles\nmust alternate') }}", {}, "template-refuses-messages", "Roles must alternate"),
        ("{% for m in messages %}{{ m['content'] }", {}, "template-not-jinja", "line 1 "),
        (CLOCK + "\n{% for m in messages %}{{ m['content'] }", {"date": "2025-04-10"}, "template-not-jinja", "line 2 "),
        ("{{ messages[0]['content'] + sys_prompt }}", {}, "template-lacks-argument", "'sys_prompt'"),
        ("{{ messages[0]['content'] + 1 }}", {}, "template-refuses-messages", "can only concatenate"),
        (CHATML, {"template": {"date_strng": "x"}}, "unknown-template-argument", "'date_strng'"),
        (CHATML, {"template": {"tokenize": True}}, "argument-not-to-set", "'tokenize'"),
        (CHATML, {"date": "2025-04-10"}, "date-not-read", "date:"),
        (DATED, {"date": "10 Apr 2025"}, "not-a-date", "'10 Apr 2025'"),
        (CHATML + "{{ ['a', 'b'] | random }}", {}, "template-draws-at-random", "random"),
        ({"tool_use": CHATML, "rag": CHATML}, {}, "no-default-template", "rag, tool_use"),
        ({"tool_use": CHATML}, {"template": {"chat_template": "toool"}}, "unknown-chat-template", "allowed: tool_use"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_one_line(template, declared, code, fact):
    with refused(code, fact):
        try_prompt(coder(template), chat(**declared))


def test_one_of_several_templates_is_named():
    made = coder({"tool_use": CHATML, "rag": TURNS})
    assert render(made, chat(template={"chat_template": "tool_use"}), QUESTION, ANSWER).end == "<|im_end|>\n"


@pytest.mark.parametrize("key, value", [("system", "Be brief."), ("date", "2025-04-10"), ("template", {"a": 1})])
def test_what_only_a_chat_reads_is_refused_beside_a_plain_prompt(key, value):
    with refused("chat-only-key", key):
        try_prompt(coder(CHATML), Prompt.of({"prompt": "{question}\n", key: value}))


def test_what_a_user_should_know_of_a_prompt_is_told():
    made = coder(TURNS.replace("<|im_end|>\n", "") + ASK, text="So Nobody knows. And Nobody.")
    assert try_prompt(made, "{question}\n")[1] == []
    assert [note.split(",")[0] for note in try_prompt(made, "{question} ")[1]] == [
        "the prompt's end merges with an answer's first word"
    ]
    [note] = try_prompt(made, "chat")[1]
    assert note.startswith("the chat template writes nothing behind an answer")


def test_another_template_argument_or_tokenizer_gives_another_hash():
    made = coder(DATED)
    hashes = [try_prompt(made, chat(date=day))[0] for day in ("2025-04-10", "2025-04-10", "2025-04-11")]
    hashes += [try_prompt(made, chat(date="2025-04-10", system="Be brief."))[0]]
    made.chat_template = DATED + "{# edited #}"
    hashes += [
        try_prompt(made, chat(date="2025-04-10"))[0],
        try_prompt(coder(DATED, special=MARKS), chat(date="2025-04-10"))[0],
    ]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 5


@pytest.mark.parametrize("name", ["llama-3.2-1b", "llama-3.1-8b", "llama-2-7b-chat"])
def test_published_models_get_the_prompts_that_they_were_trained_with(shared, name):
    """Against the prompts of published evaluation logs, in which special tokens are left out."""
    special = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    made = coder(LLAMA_3, special=special, bos="<|begin_of_text|>", eos="<|eot_id|>")
    if name == "llama-2-7b-chat":
        made = coder()
    prompt = Prompt.of(yaml.safe_load((ROOT / "models.yaml").read_text())[name])
    asked = [json.loads(line) for line in (shared / "data/tofu/forget10.json").read_text().splitlines()]
    published = json.loads((shared / "data/golden/prompts.json").read_text())[name]
    questions = {row["question"]: row["answer"] for row in asked}
    pairs = [next((q, a) for q, a in questions.items() if q in text) for text in published]
    ids = encode_prompts(made, prompt, pairs, longest=10**6)
    assert [made.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False) for row in ids] == published
    [first, *_] = encode(made, prompt, pairs, longest=10**6)
    assert made.decode(first.without_end.ids[first.start :]) == pairs[0][1]
    assert first.end == 1 and first.ids[-1] == made.eos_token_id
