"""Drafts change no text, whatever they say and however long they are, and pay where they are right; nor does what another pass has said."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from baldro.scoring import decoder, generate
from baldro.scoring.drafts import Drafts, Row

VOCABULARY, EOS, NEW = 12, 3, 14
SHAPE = dict(vocab_size=VOCABULARY, initializer_range=0.5, bos_token_id=1, eos_token_id=2, pad_token_id=0)
USUAL = dict(
    hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64
)  # fmt: skip
WINDOWS = ["sliding_attention", "full_attention"]
OWN = {
    "llama": USUAL,
    "gpt2": dict(n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "opt": dict(USUAL, ffn_dim=24, word_embed_proj_dim=16),
    "bloom": dict(hidden_size=32, n_layer=2, n_head=4),
    "mistral": dict(USUAL, sliding_window=4),
    "gemma3_text": dict(USUAL, head_dim=8, query_pre_attn_scalar=8, sliding_window=5, layer_types=WINDOWS),
    "gpt_oss": dict(
        USUAL, head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=3, layer_types=WINDOWS
    ),
}
"""Positions rotated, learned, counted from the mask, by distance; windows in all layers, in some, and with sinks."""
TOKENS = st.lists(st.integers(0, VOCABULARY - 1), max_size=2 * NEW)
PROMPTS = st.lists(st.lists(st.integers(4, VOCABULARY - 1), min_size=1, max_size=12), min_size=1, max_size=7)


def made(name):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[name](**SHAPE, **OWN[name]), dtype=torch.float32).eval()


@pytest.fixture(scope="module", params=OWN)
def model(request):
    return made(request.param)


@pytest.fixture(scope="module")
def llama():
    return made("llama")


def finished(said):
    """As a stop string: two equal tokens of a few."""
    return len(said) > 1 and said[-1] == said[-2] < 5


@torch.inference_mode()
def plain(model, prompt):
    """Token by token, each from the whole text, without a cache."""
    said = []
    while len(said) < NEW and not finished(said):
        token = int(model(input_ids=torch.tensor([[*prompt, *said]]), use_cache=False).logits[0, -1].argmax())
        if token == EOS:
            break
        said.append(token)
    return said


@torch.inference_mode()
def choices(model, prompt, tokens):
    """The model's own in the place of each token, from one pass."""
    logits = model(input_ids=torch.tensor([[*prompt, *tokens]]), use_cache=False).logits[0]
    return logits[len(prompt) - 1 : -1].argmax(-1).tolist()


def check(model, data, prompts, batch_tokens):
    """Drafts right to some token, or whole with the end of sequence and more behind it; of any length in each pass.

    Of some rows a pass over the draft and some tokens more has come before.
    """
    texts = [plain(model, prompt) for prompt in prompts]
    gold = []
    for text in texts:
        right = data.draw(st.integers(0, len(text)))
        gold.append([*text[:right], *data.draw(TOKENS)] if data.draw(st.booleans()) else [*text, EOS, *text])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Drafts, "width", lambda self, rows, most, beside=0: data.draw(st.integers(0, most)))
        options = dict(eos=EOS, max_new_tokens=NEW, finished=finished)
        assert generate(model, prompts, **options, gold=gold, batch_tokens=batch_tokens) == texts
        made, rows = decoder.Decoder(model, **options), []
        for prompt, answer in zip(prompts, gold, strict=True):
            rows.append(Row(prompt, answer))
            read = [*answer, *data.draw(TOKENS)]
            if read and data.draw(st.booleans()):
                made.begin(rows[-1], read, choices(model, prompt, read))
        assert len(list(made(rows, batch_tokens=batch_tokens))) == len(rows)
        assert [row.said for row in rows] == texts


@settings(max_examples=10)
@given(data=st.data(), prompts=PROMPTS, tokens=st.sampled_from([1, 80, 160, 10**6]))
def test_whatever_the_drafts_the_text_is_what_the_model_says_token_by_token(model, data, prompts, tokens):
    check(model, data, prompts, tokens)


@settings(max_examples=5)
@given(data=st.data(), prompts=PROMPTS)
def test_where_rows_cannot_be_moved_each_pass_reads_the_whole_text(llama, data, prompts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "movable", lambda cache: False)
        check(llama, data, prompts, 80)


def passes(model, prompts, gold):
    made = decoder.Decoder(model, eos=EOS, max_new_tokens=NEW)
    rows = [Row(prompt, answer) for prompt, answer in zip(prompts, gold, strict=True)]
    assert {id(row) for row in made(rows, batch_tokens=10**6)} == {id(row) for row in rows}
    assert made.answers == len(rows) and made.passes_per_answer == sum(row.passes for row in rows) / len(rows)
    return made, [row.said for row in rows]


def test_drafts_that_are_right_save_most_passes_and_wrong_ones_are_given_up(llama):
    prompts = [[4 + i % 7, 5 + i % 3, 6, 4 + i % 8] for i in range(40)]
    texts = generate(llama, prompts, eos=EOS, max_new_tokens=NEW)
    right, said = passes(llama, prompts, texts)
    wrong, also = passes(llama, prompts, [[(token + 1) % VOCABULARY for token in text] for text in texts])
    assert said == also == texts
    tokens = sum(map(len, texts)) / len(texts)
    assert right.passes_per_answer < 3 < tokens / 2 and wrong.passes_per_answer <= tokens + 1
    assert (
        right.drafts.right[0] / right.drafts.guesses[0] > 0.95 > 0.3 > wrong.drafts.right[0] / wrong.drafts.guesses[0]
    )


def say(row, tokens):
    return [row.say(token) for token in tokens]


def test_a_guess_is_the_gold_answer_then_what_followed_the_last_two_tokens_and_loops_go_on():
    row = Row([10, 20, 30, 40], [50, 60, 70])
    assert row.draft(9) == [50, 60, 70] and row.draft(2) == [50, 60]
    assert say(row, [50, 60]) == [True, True] and row.draft(9) == [70]
    assert say(row, [10]) == [False] and row.draft(9) == []  # nothing has followed 60, 10
    assert say(row, [20]) == [None] and row.draft(9) == [30, 40, 50, 60, 70]  # the prompt and then the answer
    assert say(row, [1, 2, 1, 2]) == [False, None, None, None]
    assert row.draft(5) == [1, 2, 1, 2, 1] and say(row, [1, 2, 1]) == [True, True, True]
    assert Row([10], []).draft(3) == []


@pytest.mark.parametrize("free, count, width", [(1e9, 4, 20), (0.01, 4, 0), (12, 4, 2), (12, 400, 0)])
def test_a_draft_is_as_long_as_its_tokens_are_right_often_enough_to_pay(free, count, width):
    """Right with probability .6: .6, .36 and .216 beside B / (B + free); of 4 rows in 16, 1 / 4."""
    drafts = Drafts(free)
    drafts.right[:], drafts.guesses[:] = 60, 100
    rows = [Row([1, 2], [3] * 30) for _ in range(count)]
    assert drafts.width(rows, 20) == width
    assert drafts.width(rows[:1], 20, beside=count - 1) == width
    assert drafts.width([Row([1, 2], []) for _ in rows], 20) == drafts.width(rows, 0) == 0


def test_keys_and_values_in_memory_stay_within_the_limit(llama, monkeypatch):
    """Slots of the rows that go on and of those that join; memory for rows that do not come is not taken."""
    most, inner = 0, llama.model.forward

    def watched(input_ids, past_key_values=None, **options):
        nonlocal most
        joining = 0 if past_key_values is kept[0] else input_ids.numel()
        most = max(most, kept[0].rows * kept[0].capacity + joining)
        return inner(input_ids=input_ids, past_key_values=past_key_values, **options)

    class Watched(decoder.Room):
        def __init__(self, **options):
            super().__init__(**options)
            kept.append(self)

    kept: list = []
    monkeypatch.setattr(llama.model, "forward", watched)
    monkeypatch.setattr(decoder, "Room", Watched)
    prompts = [[4 + i % 7] * (1 + i % 9) for i in range(40)]
    generate(llama, prompts, eos=EOS, max_new_tokens=NEW, gold=[[5] * NEW] * 40, batch_tokens=300)
    assert 150 < most <= 300
