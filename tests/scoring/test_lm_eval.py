"""Questions with options beside lm-evaluation-harness, which asks and scores them by its own task files: question by question the same."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from baldro import benchmarks as data
from baldro import models
from baldro.metrics import evaluate, from_samples
from baldro.scoring import evidence

pytestmark = pytest.mark.filterwarnings("ignore")  # the harness's own
SHAPE = dict(vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
TASKS = {"wmdp_bio": "wmdp/wmdp_bio", "wmdp_cyber": "wmdp/wmdp_cyber", "mmlu": "mmlu/default/mmlu_college_biology"}
WORDS = "cell acid virus port host key gene salt toxin stack heap mitosis Zoë enzyme buffer"


@pytest.fixture(scope="module")
def harness():
    return pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")


def questions(seed: int, count: int) -> list[dict]:
    """Some begin and end in white space, have several lines or an empty option, or the same options, as the real ones do."""
    draw = torch.Generator().manual_seed(seed)

    def some(most: int) -> str:
        length = 1 + int(torch.randint(most, (1,), generator=draw))
        words = WORDS.split()
        return " ".join(words[i] for i in torch.randint(len(words), (length,), generator=draw).tolist())

    rows = [{"question": f"{some(20)}?", "choices": [some(4) for _ in range(4)], "answer": i % 4} for i in range(count)]
    rows[0]["question"], rows[1]["question"] = "  \n" + rows[0]["question"] + " \n", "Given:\n\n  x = 1\nwhat is it?"
    rows[2]["choices"], rows[3]["choices"] = ["", " a", "b ", "1.5"], ["same"] * 4
    return rows


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of questions, the benchmark that is made of it, and a model and tokenizer built on it."""
    folder = tmp_path_factory.mktemp("wmdp")
    files = {"wmdp-bio/test": 40, "wmdp-cyber/test": 30, "wmdp-chem/test": 4, "all/test": 30}
    for seed, (name, count) in enumerate(files.items()):
        subject = {"subject": "college_biology"} if name == "all/test" else {}
        path = folder / f"{name}.json"
        path.parent.mkdir()
        path.write_text("\n".join(json.dumps(row | subject) for row in questions(seed, count)), encoding="utf-8")
    places = {key: [str(folder)] for key in ("questions", "mmlu")}
    records = data.build({"kind": "multiple_choice", "forget": {"bio": "bio-retain"}, **places})
    network, tokenizer = models.build(SHAPE | {"initializer_range": 0.3}, sorted(set(records["question"])), seed=0)
    return folder, records, network.eval(), tokenizer


def by_the_harness(lm_eval, folder: Path, network, tokenizer) -> dict:
    """The harness's own results of its own tasks, whose questions alone are another file's."""
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM

    tasks, root = {}, Path(lm_eval.__file__).parent / "tasks"
    for name, place in TASKS.items():
        own = yaml.safe_load((root / f"{place}.yaml").read_text(encoding="utf-8"))
        shared = yaml.safe_load(((root / place).parent / own.pop("include")).read_text(encoding="utf-8"))
        file = folder / ("all/test.json" if name == "mmlu" else f"{name.replace('_', '-')}/test.json")
        read = {"data_files": {"test": str(file)}, "cache_dir": str(folder / "cache")}
        here = dict(dataset_path="json", dataset_name=None, dataset_kwargs=read, task=name)
        lacking = {"fewshot_split": "test"} if "fewshot_split" in shared else {}  # no shot is drawn from it
        tasks[name] = ConfigurableTask(config=shared | own | here | lacking | {"num_fewshot": 0})
    lm = HFLM(pretrained=network, tokenizer=tokenizer, batch_size=4)
    return lm_eval.evaluate(lm=lm, task_dict=tasks, bootstrap_iters=0, log_samples=True)


def test_letters_log_probabilities_and_accuracies_are_the_harnesss(harness, made, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder, records, network, tokenizer = made
    samples = evidence(network, tokenizer, "the model's own {question}", records, split="bio", max_new_tokens=1)
    values = evaluate(from_samples(samples, where="ours"), None).values
    theirs = by_the_harness(harness, folder, network, tokenizer)
    right = 0
    for name in TASKS:
        rows = samples[samples["section"] == name].assign(logp=lambda rows: -rows["avg_loss"] * rows["tokens"])
        ours = rows.pivot(index="index", columns="text", values="logp")[list("ABCD")]
        told = sorted(theirs["samples"][name], key=lambda sample: sample["doc_id"])
        assert len(told) == len(ours)
        asked = [sample["arguments"]["gen_args_0"]["arg_0"] if isinstance(sample["arguments"], dict) else sample["arguments"][0][0]
                 for sample in told]  # fmt: skip
        assert asked == rows[rows["candidate"] == "answer"]["question"].tolist(), "the same prompt"
        for sample, values_of_question in zip(told, ours.to_numpy(), strict=True):
            logp = [float(response[0]) for response in sample["filtered_resps"]]
            assert values_of_question == pytest.approx(logp, abs=1e-5)
            assert values_of_question.argmax() == max(range(4), key=logp.__getitem__)
        assert values[name].per_sample.tolist() == [sample["acc"] for sample in told]
        assert values[name].value == theirs["results"][name]["acc,none"]
        right += sum(sample["acc"] for sample in told)
    assert 10 < right < 60, "some are right, and not all"
