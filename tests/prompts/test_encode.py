"""Where the answer is in a sequence: against the tokenizer on the whole text, and for chat templates that lose something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from baldro import models
from baldro.prompts.encode import Tokens, encode, encode_prompts, few_shot
from baldro.prompts.render import render

SHAPE = dict(vocab_size=400, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
CORPUS = [
    "The answer is the answer.",
    "Who wrote it?",
    "Chika wrote Über die Brücke in 1963.",
    "an answer, and another",
] * 3

TURN = "{% for m in messages %}<|{{ m['role'] }}|>\n{{ CONTENT }}<|end|>\n{% endfor %}"
ASK = "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
PLAIN = "m['content']"


def template(content=PLAIN, ask=ASK):
    return TURN.replace("CONTENT", content) + ask


KEEPS = {
    "plain": template(),
    "trims": template("m['content'] | trim"),
    "empty thoughts": template("('<think>\n\n</think>\n\n' if m['role'] == 'assistant' else '') + m['content']"),
}
LOSES = {
    "the answer dropped": template("m['content'] if m['role'] == 'user' else ''"),
    "the answer in capitals": template("m['content'] if m['role'] == 'user' else m['content'] | upper"),
    "the answer cut": template("m['content'] if m['role'] == 'user' else m['content'][:4]"),
    "only what follows the thoughts": template(
        "m['content'] if m['role'] == 'user' else m['content'].split('wrote')[0]"
    ),
    "the question dropped": template("m['content'] if m['role'] == 'assistant' else ''"),
    "the question in capitals": template("m['content'] if m['role'] == 'assistant' else m['content'] | upper"),
}


@pytest.fixture(scope="module")
def tokenizer():
    return models.build(SHAPE, CORPUS, seed=0)[1]


def chatty(tokenizer, text):
    tokenizer.chat_template = text
    return tokenizer


def one(tokenizer, prompt, question, answer, longest=10**6):
    return encode(tokenizer, prompt, [(question, answer)], longest=longest)[0]


def decoded(tokenizer, ids):
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
SOLID = TEXT.filter(lambda text: not text[0].isspace() and "</s>" not in text and "<s>" not in text)


@given(question=SOLID, answer=SOLID)
def test_the_answer_tokens_are_exactly_the_answer(tokenizer, question, answer):
    made = one(tokenizer, "Q: {question}\n", question, answer)
    assert made.ids[-1] == tokenizer.eos_token_id and made.answer == len(made.ids) - made.start
    assert decoded(tokenizer, made.ids[made.start : -1]) == answer
    assert decoded(tokenizer, made.ids[1 : made.start]) == f"Q: {question}\n"


@given(
    question=SOLID,
    answer=TEXT.filter(lambda text: "<" not in text).map(lambda text: f"{text} wrote it"),
    seam=st.sampled_from(["\n", " ", "", "[/INST]", "é"]),
)
def test_prompt_and_answer_are_tokenised_as_one_text(tokenizer, question, answer, seam):
    made = one(tokenizer, "[INST] {question}" + seam, question, answer)
    whole = "[INST] " + question + seam + answer
    assert list(made.ids) == [*tokenizer(whole)["input_ids"], tokenizer.eos_token_id]
    assert made.start == len(tokenizer("[INST] " + question + seam)["input_ids"]) and made.end == 1


def test_a_token_across_the_border_belongs_to_the_prompt(tokenizer):
    """As in open-unlearning: labels begin at the prompt's own number of tokens, a continuation begins from the prompt's own ids.

    "an" and "swer" are one token each alone; together they are "answer".
    """
    prompt, answer = "{question} an", "swer, and another"
    made = one(tokenizer, prompt, "Who?", answer)
    alone = tokenizer("Who? an")["input_ids"]
    assert made.start == len(alone) and decoded(tokenizer, made.ids[made.start : -1]) == ", and another"
    assert encode_prompts(tokenizer, prompt, [("Who?", answer)], longest=99) == [tuple(alone)]
    assert list(made.ids[: made.start]) != alone


def test_braces_in_texts_are_texts(tokenizer):
    made = one(tokenizer, "{question}\n", "Is {answer} {question} {0}?", "{question} is.")
    assert decoded(tokenizer, made.ids[1:-1]) == "Is {answer} {question} {0}?\n{question} is."


def test_rows_stay_in_order_and_apart(tokenizer):
    pairs = [("Who wrote it?", "Chika."), ("Who?", "another answer"), ("Who wrote it?", "Chika.")]
    together = encode(tokenizer, "{question}\n", pairs, longest=99)
    assert together == [one(tokenizer, "{question}\n", *pair) for pair in pairs]


@pytest.mark.parametrize("name", KEEPS)
@pytest.mark.parametrize("answer", ["Chika wrote it.", "end", "think", "|", "assistant", "  the answer "])
def test_chat_templates_that_keep_the_answer(tokenizer, name, answer):
    """Short answers occur in the template's own marks too, e.g. in <|end|>; what counts is the one in the answer's place.

    The answer ends as the template ends it.
    """
    made = one(chatty(tokenizer, KEEPS[name]), "chat", "Who wrote it?", answer)
    thoughts = "<think>\n\n</think>\n\n" if "thoughts" in name else ""
    before = f"<|user|>\nWho wrote it?<|end|>\n<|assistant|>\n{thoughts}"
    assert "".join(decoded(tokenizer, made.ids).split()) == "".join(f"{before}{answer}<|end|>".split())
    assert decoded(tokenizer, made.ids[made.start : -made.end]).strip() == answer.strip()
    assert decoded(tokenizer, made.ids[-made.end :]) == "<|end|>\n"


@given(question=SOLID, answer=SOLID | st.text("<|>endassistant\n", min_size=1).filter(str.strip))
def test_any_answer_is_found_in_a_chat(tokenizer, question, answer):
    question, answer = f"Q {question.strip()}", answer.strip()
    made = render(chatty(tokenizer, KEEPS["plain"]), "chat", question, answer)
    assert (made.before, made.answer) == (f"<|user|>\n{question}<|end|>\n<|assistant|>\n", answer)
    assert made.end == "<|end|>\n"


@pytest.mark.parametrize("name", LOSES)
@pytest.mark.parametrize("answer", ["Chika wrote it.", "assistant wrote"])
def test_chat_templates_that_lose_something_are_refused(tokenizer, name, answer):
    with refused("template-alters-text", "answer" if "question" not in name else "question"):
        one(chatty(tokenizer, LOSES[name]), "chat", "Who composed it?", answer)


def test_a_tokenizer_without_a_chat_template(tokenizer):
    with refused("no-chat-template"):
        one(chatty(tokenizer, None), "chat", "Who?", "Chika.")


@pytest.mark.parametrize("prompt", ["Q: {quest}\n", "", "{Question}", "chat "])
def test_a_prompt_without_the_question(tokenizer, prompt):
    with refused("prompt-without-question", repr(prompt), "{question}"):
        one(tokenizer, prompt, "Who?", "Chika.")


def test_a_sequence_that_is_too_long_names_its_row(tokenizer):
    pairs = [("Who?", "Chika."), ("Who?", "Chika. " * 20)]
    size = len(encode(tokenizer, "{question}\n", pairs, longest=999)[1].ids)
    assert len(encode(tokenizer, "{question}\n", pairs, longest=size)) == 2
    with refused("row-too-long", "row 1 ", size, f"at most {size - 1}"):
        encode(tokenizer, "{question}\n", pairs, longest=size - 1)


def test_no_end_of_sequence():
    made = models.build(SHAPE, CORPUS, seed=0)[1]
    made.eos_token = None
    with refused("no-end-of-sequence"):
        one(made, "{question}\n", "Who?", "Chika.")


def test_an_end_that_the_tokenizer_adds_is_not_doubled():
    from tokenizers.processors import TemplateProcessing

    made = models.build(SHAPE, CORPUS, seed=0)[1]
    plain = one(made, "{question}\n", "Who?", "Chika.")
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    assert made("x")["input_ids"][-1] == made.eos_token_id
    assert one(made, "{question}\n", "Who?", "Chika.") == plain


def test_answer_counts_the_end_of_sequence():
    assert Tokens(ids=(0, 5, 6, 7, 1), start=2).answer == 3


def bare(tokenizer):
    """The tokenizer without a beginning of sequence."""
    from tokenizers.processors import TemplateProcessing

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    return tokenizer


def test_running_text_has_no_end(tokenizer):
    with_end, without = (
        encode(tokenizer, "{question} ", [("Who?", "Chika.")], longest=99, end=end)[0] for end in (True, False)
    )
    assert with_end.ids == (*without.ids, tokenizer.eos_token_id) and with_end.start == without.start
    assert (with_end.end, without.end) == (1, 0) and with_end.without_end == without
    made = models.build(SHAPE, CORPUS, seed=0)[1]
    made.eos_token = None
    assert encode(made, "{question} ", [("Who?", "Chika.")], longest=99, end=False) == [without]


@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("keep", [1, 3, 1000])
def test_the_text_behind_the_kept_tokens_is_cut(tokenizer, keep, end):
    [whole] = encode(tokenizer, "{question}\n", [("Who?", "Chika wrote it in 1963.")], longest=99, end=False)
    options = dict(longest=min(len(whole.ids), whole.start + keep) + end, end=end, keep=keep)
    [cut] = encode(tokenizer, "{question}\n", [("Who?", "Chika wrote it in 1963.")], **options)
    assert cut.ids == (*whole.ids[: whole.start + keep], *[tokenizer.eos_token_id] * end) and cut.start == whole.start
    assert cut.answer == min(keep, whole.answer) + end


@pytest.mark.parametrize("keep", [None, 2])
def test_the_first_token_of_a_sequence_is_never_scored(tokenizer, keep):
    """Without a prompt: behind a beginning of sequence every token is scored, without one all but the first."""
    other = bare(models.build(SHAPE, CORPUS, seed=0)[1])
    settled = dict(longest=99, end=False, keep=keep)
    [[begun], [bald]] = [encode(t, "{question}", [("", "Chika wrote it.")], **settled) for t in (tokenizer, other)]
    assert begun.start == bald.start == 1 and begun.ids == (tokenizer.bos_token_id, *bald.ids)
    assert begun.answer == bald.answer + 1
    assert keep is None or begun.answer == keep


@pytest.mark.parametrize("answer", ["", "|"])
def test_an_answer_of_which_no_token_is_scored(answer):
    other = bare(models.build(SHAPE, CORPUS, seed=0)[1])
    with refused("no-scored-token", "row 1:"):
        encode(other, "{question}", [("", "Chika."), ("", answer)], longest=99)


def test_worked_examples_are_texts(tokenizer):
    """Braces in them, even {question} itself, are nothing to fill in."""
    prompt = "Q: {question}\nA: "
    before = few_shot(prompt, [("Who {0}?", "{question}"), ("Is {answer}?", "{")])
    assert before == "Q: Who {0}?\nA: {question}\n\nQ: Is {answer}?\nA: {\n\n"
    assert few_shot(prompt, []) == ""
    [made] = encode(tokenizer, prompt, [("Now {question}?", "Yes")], longest=999, before=before)
    assert decoded(tokenizer, made.ids[1:-1]) == before + "Q: Now {question}?\nA: Yes"
    assert decoded(tokenizer, made.ids[made.start : -1]).strip() == "Yes"
    [asked] = encode_prompts(tokenizer, prompt, [("Now {question}?", "Yes")], longest=999, before=before)
    assert list(asked) == tokenizer(before + "Q: Now {question}?\nA: ")["input_ids"]
    with refused("examples-in-chat"):
        few_shot("chat", [])


def test_a_prompt_alone(tokenizer):
    """It ends as it is written, whatever a tokenizer makes of its end and the answer's beginning together."""
    pairs = [("Who wrote it?", "answer"), ("Who?", "x")]
    made = encode_prompts(tokenizer, "{question} ", pairs, longest=99)
    assert made == [tuple(tokenizer(f"{question} ")["input_ids"]) for question, _ in pairs]
    with refused("row-too-long", "row 0 ", "at most 3"):
        encode_prompts(tokenizer, "{question} ", pairs, longest=3)
    with refused("prompt-without-token", "row 0:"):
        encode_prompts(bare(models.build(SHAPE, CORPUS, seed=0)[1]), "{question}", [("", "x")], longest=99)
    asked = encode_prompts(chatty(tokenizer, KEEPS["plain"]), "chat", pairs, longest=99)
    assert decoded(tokenizer, asked[1]) == "<|user|>\nWho?<|end|>\n<|assistant|>\n"
