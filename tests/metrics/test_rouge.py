from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from baldro.metrics.rouge import KINDS, rouge
from baldro.metrics.words import words

STEMS = ["blue", "rain", "fog", "tram", "zinc"]  # the stemmer leaves them equal to themselves alone
WORDS = st.lists(st.sampled_from(STEMS), min_size=1, max_size=8)
SECTIONS = ["forget_Q_A_ROUGE", "retain_Q_A_ROUGE", "ra_Q_A_ROUGE", "wf_Q_A_ROUGE"]


PUBLISHED_KINDS = ["rouge1_recall", "rougeL_recall", "rougeL_f1"]


@pytest.mark.parametrize("name", ["full, forget01", "retain99"])
@pytest.mark.parametrize("metric", SECTIONS)
def test_published_pairs_to_the_bit(rouge_texts, logs, name, metric):
    rows = rouge_texts[name][metric]
    rows = [rows[str(i)] for i in range(len(rows))]
    ours = rouge([row["ground_truth"] for row in rows], [row["generation"] for row in rows])
    for kind in PUBLISHED_KINDS:
        assert ours[kind].tolist() == [row[kind] for row in rows] == logs[name].values(metric, kind).tolist()
    assert np.mean(ours["rougeL_recall"]) == logs[name].aggregate(metric)


def longest_common_subsequence(a, b):
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + longest_common_subsequence(a[1:], b[1:])
    return max(longest_common_subsequence(a[1:], b), longest_common_subsequence(a, b[1:]))


@given(WORDS, WORDS)
def test_against_the_definitions(reference, generation):
    ours = {kind: values[0] for kind, values in rouge([" ".join(reference)], [" ".join(generation)]).items()}
    assert tuple(ours) == KINDS
    shared = {
        "rouge1": sum((Counter(reference) & Counter(generation)).values()),
        "rougeL": longest_common_subsequence(reference, generation),
    }
    for which, count in shared.items():
        assert ours[f"{which}_recall"] == count / len(reference)
        assert ours[f"{which}_f1"] == pytest.approx(2 * count / (len(reference) + len(generation)), rel=1e-12)


@given(WORDS, WORDS)
def test_swapping_the_two_leaves_f1(one, other):
    there, back = (rouge([" ".join(a)], [" ".join(b)]) for a, b in ((one, other), (other, one)))
    for kind in ("rouge1_f1", "rougeL_f1"):
        assert there[kind][0] == pytest.approx(back[kind][0], rel=1e-12)


def test_a_repeated_word_counts_as_often_as_the_reference_has_it():
    scores = rouge(["rain rain fog"], ["rain rain rain"])
    assert scores["rouge1_recall"].tolist() == scores["rouge1_f1"].tolist() == [2 / 3]


def test_empty_and_wordless_score_nothing():
    for values in rouge(["Paris", "Paris", "..."], ["", "!?", "Paris"]).values():
        assert values.tolist() == [0.0, 0.0, 0.0]


def test_case_and_punctuation_do_not_count():
    assert all(values.tolist() == [1.0] for values in rouge(["It is Paris."], ["it is, PARIS"]).values())


def test_the_stem_counts():
    assert rouge(["he writes novels"], ["he wrote a novel"])["rougeL_recall"].tolist() == [2 / 3]


PERFECT = [
    "Его зовут Лев Толстой.", "他的名字是王小明。", "彼の名前は田中です。", "그의 이름은 김철수입니다.", "اسمه نجيب محفوظ.",
    "उसका नाम प्रेमचंद है।", "ชื่อของเขาคือสมชาย", "Το όνομά του", "שמו עמוס עוז", "আমার সোনার বাংলা", "1956年", "١٩٥٦", "é", "🙂", "…",
]  # fmt: skip


@pytest.mark.parametrize("text", PERFECT)
def test_a_perfect_answer_scores_one_in_any_script(text):
    """Where rouge-score's words leave nothing, or a part, of it."""
    for values in rouge([text, text, text], [text, f"  {text.upper()}\n", ""]).values():
        assert values.tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("reference", "generation", "recall", "f1"),
    [
        ("Лев Толстой написал роман", "Роман написал Лев Толстой", 2 / 4, 2 / 4),
        ("हिन्दी भाषा", "हिन्दु भाषा", 1 / 2, 1 / 2),  # words with their combining marks: another vowel is another word
        ("他是王小明", "她是王小明吗", 4 / 5, 8 / 11),
        ("ชื่อ", "ชอ", 1 / 2, 1 / 2),  # two characters, of which the first has two marks
        ("작가는 한강이다", "작가는 누구", 1 / 2, 1 / 2),
        ("Zoë и Мари", "Zo и Мари", 2 / 3, 2 / 3),  # an accent belongs to its word here
    ],
)
def test_words_off_the_latin_script(reference, generation, recall, f1):
    scores = rouge([reference], [generation])
    assert scores["rougeL_recall"][0] == pytest.approx(recall, rel=1e-12)
    assert scores["rougeL_f1"][0] == pytest.approx(f1, rel=1e-12)


def test_a_latin_name_in_an_answer_of_another_script_is_not_all_of_it():
    """By rouge-score's words alone the name was the whole answer, and any answer with it perfect."""
    right, other = "他的名字是 Jonathan Smith。", "我不认识 Jonathan Smith。"
    scores = rouge([right, right], [other, right])
    assert scores["rougeL_recall"].tolist() == [2 / 7, 1.0]
    assert rouge(["he writes novels: Война"], ["he wrote a novel"])["rougeL_recall"].tolist() == [2 / 4], "stems"


def test_latin_references_keep_rouge_scores_words():
    """Accents split a word there, and what a generation says in another script does not count."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    pairs = [
        ("Zoë wrote novels, 5 µm thin", "Zoe écrit 5 novels"), ("naïve façade", "naive façade"), ("Nguyễn", "Nguyen"),
        ("the answer", "the answer ответ 答案"), ("x² + y² in ℝ, º and ª", "x y in R"),
    ]  # fmt: skip
    ours = rouge(*map(list, zip(*pairs, strict=True)))
    for place, (reference, generation) in enumerate(pairs):
        theirs = scorer.score(reference, generation)
        assert ours["rougeL_f1"][place] == theirs["rougeL"].fmeasure
        assert ours["rouge1_recall"][place] == theirs["rouge1"].recall


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=30))
def test_words_of_ascii_are_rouge_scores(text):
    from rouge_score.tokenize import tokenize

    theirs = tokenize(text, None)
    assert not theirs or words(text) == theirs


@given(st.text(max_size=20))
def test_a_text_against_itself_scores_one_if_it_shows_anything(text):
    shows = any(words(text))
    assert {float(values[0]) for values in rouge([text], [text]).values()} == {float(shows)}


def test_forms_of_one_letter_are_one():
    """Composed and decomposed, full-width, with joiners and marks of direction: what a reader cannot tell apart."""
    composed, decomposed = "й и Zoë", "и\u0306 и Zoe\u0308"
    assert words(composed) == words(decomposed) == ["й", "и", "zoë"]
    assert words("\u200fＧＰＴ４\u200d") == ["gpt4"]
    assert words("می\u200cخواهم") == words("میخواهم")


def test_errors():
    with refused("unequal-lengths", "2 references", "1 generations"):
        rouge(["a", "b"], ["a"])
    for spoilt in (None, 3, float("nan")):
        with refused("not-a-text", "position 1"):
            rouge(["a", "b"], ["a", spoilt])
        with refused("not-a-text", "position 0"):
            rouge([spoilt, "b"], ["a", "b"])
