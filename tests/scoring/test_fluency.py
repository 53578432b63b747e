"""The classifier's probability of a clean text, against one text at a time."""

import pytest
import torch
from refusals import refused

from baldro.errors import BaldroError
from baldro.scoring.fluency import clean_probability

TEXTS = ["the cat sat", "", "who wrote it in a town near the sea and", "zzz the", "cat " * 700, "the cat sat", "it"]


def one(model, core, text):
    ids = core.encode(text).ids
    ids = ids if len(ids) <= 512 else [*ids[:511], ids[-1]]
    with torch.no_grad():
        return float(model(input_ids=torch.tensor([ids])).logits[0].double().softmax(-1)[1])


@pytest.mark.parametrize("size", [1, 3, 32])
def test_probabilities_are_those_of_one_text_at_a_time(tmp_path, size, save_classifier):
    model, core = save_classifier(tmp_path)
    found = clean_probability(TEXTS, str(tmp_path), batch_size=size)
    assert found == pytest.approx([one(model, core, text) for text in TEXTS], abs=1e-6)
    assert found[0] == pytest.approx(found[5], abs=1e-6) and len({round(p, 4) for p in found}) > 3


def test_no_texts(tmp_path, save_classifier):
    save_classifier(tmp_path)
    assert clean_probability([], str(tmp_path)) == []


@pytest.mark.parametrize("labels", [["LABEL_0", "LABEL_1", "LABEL_2"], ["clean", "CLEAN", "noise"]])
def test_classes_without_one_that_is_clean(tmp_path, labels, save_classifier):
    save_classifier(tmp_path, labels)
    with refused("no-clean-class", tmp_path, *labels):
        clean_probability(["a"], str(tmp_path))


def test_a_place_with_nothing(tmp_path):
    with pytest.raises(BaldroError, match="nowhere") as caught:
        clean_probability(["a"], str(tmp_path / "nowhere"))
    assert "\n" not in str(caught.value)


def test_a_model_that_is_no_classifier(tmp_path, save_classifier):
    from transformers import DistilBertForMaskedLM

    model, _ = save_classifier(tmp_path)
    DistilBertForMaskedLM(model.config).save_pretrained(tmp_path)
    with pytest.raises(BaldroError, match="ForSequenceClassification"):
        clean_probability(["a"], str(tmp_path))
