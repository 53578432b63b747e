"""What the scoring will ask is known to fit, or not, before anything is trained."""

from argparse import Namespace

from refusals import refused

from baldro import models
from baldro import scoring as score
from baldro.jobs import training
from baldro.jobs.run_inputs import RunInputs
from baldro.records.model import Description
from baldro.runs import Run

RUN = Run.of(benchmark="b", model="m", split="forget10", objective="graddiff", lr=1e-4, epochs=1, batch_size=2)


def room(pair, tofu, prompt):
    """Positions left behind the longest prompt of the sections that are continued."""
    model, tokenizer = pair
    splits = [f"{name}_perturbed" for name in ("forget10", "retain", "real_authors", "world_facts")]
    questions = tofu.loc[tofu["split"].isin(splits), "question"]
    longest = max(len(tokenizer(prompt.replace("{question}", text))["input_ids"]) for text in questions)
    return models.positions(model) - longest


def test_the_longest_prompt_decides(pair, tofu, prompt):
    described = Description(name="m", prompt=prompt, build=None, starts={})
    given, most = RunInputs(RUN, described, tofu, "x"), room(pair, tofu, prompt)
    training._check_scoring(given, Namespace(samples="samples.parquet", max_new_tokens=most, evaluate_rows=None), *pair)
    with refused("too-many-new-tokens", most + 1, f"at most {most}"):
        training._check_scoring(
            given, Namespace(samples="samples.parquet", max_new_tokens=most + 1, evaluate_rows=None), *pair
        )


def test_a_special_token_by_its_name_in_a_text(pair, tofu, prompt):
    """Its id is beyond the embedding: a GPU would end in an assertion."""
    import copy

    model, tokenizer = pair
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    rows = model.get_input_embeddings().weight.shape[0]
    assert tokenizer.convert_tokens_to_ids("<image>") == rows
    records = tofu.copy()
    at = records.index[records["split"] == "forget10_perturbed"][0]
    records.loc[at, "answer"] = "An <image> of it"
    with refused("token-beyond-embedding", "section forget", "row 0", rows):
        score.check_room(model, tokenizer, prompt, records, split="forget10", max_new_tokens=2)
