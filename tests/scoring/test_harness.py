"""Tasks of lm-evaluation-harness, asked of a model in memory, beside what that package says of the same model itself."""

import copy
import json

import pytest
import torch
import yaml
from refusals import refused

from baldro import models
from baldro.benchmarks.harness import Harness
from baldro.prompts.prompt import Prompt
from baldro.scoring import harness

pytestmark = pytest.mark.filterwarnings("ignore")  # the harness's own
SHAPE = dict(vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
WORDS = [
    "cell",
    "acid",
    "virus",
    "port",
    "host",
    "key",
    "gene",
    "salt",
    "toxin",
    "stack",
    "heap",
    "mitosis",
    "enzyme",
    "buffer",
]
TEMPLATE = "{{ day }}{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}<assistant> "
ASKED = ["quiz/acc_norm", "quiz/acc", "said/exact_match,first", "both"]


def words(draw, count: int) -> str:
    return " ".join(WORDS[i] for i in torch.randint(len(WORDS), (count,), generator=draw).tolist())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tasks with options and with an answer to be written, a group of two sizes, and some that are no column."""
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    root, draw = tmp_path_factory.mktemp("tasks"), torch.Generator().manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")

        def task(name: str, count: int, **more: object) -> None:
            rows = [
                {"q": words(draw, 6), "options": [words(draw, n) for n in (1, 2, 3)], "right": i % 3}
                for i in range(count)
            ]
            (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            files = {"data_files": {"test": str(root / f"{name}.jsonl")}, "cache_dir": str(root.parent / "cache")}
            common = dict(task=name, dataset_path="json", dataset_kwargs=files, test_split="test", fewshot_split="test")
            (root / f"{name}.yaml").write_text(
                yaml.safe_dump(common | dict(doc_to_text="{{q}}? ", num_fewshot=0) | more)
            )

        choice = dict(output_type="multiple_choice", doc_to_choice="{{options}}", doc_to_target="{{right}}")
        up = dict(aggregation="mean", higher_is_better=True)
        task("quiz", 13, **choice, metric_list=[dict(metric=m, **up) for m in ("acc", "acc_norm")])
        task("small", 5, **choice, metric_list=[dict(metric="acc", **up)], tag="tagged")
        said = dict(output_type="generate_until", doc_to_target="{{options[right]}}",
                    generation_kwargs=dict(until=["\n"], max_gen_toks=3, do_sample=False))  # fmt: skip
        first = [{"function": "regex", "regex_pattern": "(\\w+)"}, {"function": "take_first"}]
        filters = [{"name": "whole", "filter": first[1:]}, {"name": "first", "filter": first}]
        task("said", 9, **said, filter_list=filters, metric_list=[dict(metric="exact_match", **up)])
        task("rolled", 4, output_type="loglikelihood_rolling", doc_to_target="{{q}}", tag="tagged",
             metric_list=[dict(metric="word_perplexity", aggregation="weighted_perplexity", higher_is_better=False)])  # fmt: skip
        for name, weigh in (("both", True), ("each", False)):
            group = dict(
                group=name, task=["quiz", "small"], aggregate_metric_list=[dict(metric="acc", weight_by_size=weigh)]
            )
            (root / f"{name}.yaml").write_text(yaml.safe_dump(group))
        yield root


@pytest.fixture(scope="module")
def opened(folder):
    network, tokenizer = models.build(
        SHAPE | {"initializer_range": 0.3}, [" ".join(WORDS), "user assistant system ? <>"], seed=0
    )
    tokenizer.chat_template = TEMPLATE
    return network.eval(), tokenizer


@pytest.mark.parametrize("options", [{}, {"limit": 4, "num_fewshot": 0}, {"apply_chat_template": True}], ids=str)
def test_scores_are_the_harness_s_own_question_by_question(folder, opened, options):
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    network, tokenizer = opened
    asked = Harness(tasks=ASKED, include_path=str(folder), batch_size=3, **options)
    chat = "apply_chat_template" in options
    prompt = Prompt(text="chat", system="Be brief.", arguments={"day": "10 Apr"}) if chat else Prompt(text="{question}")
    before, calls = copy.deepcopy(tokenizer.special_tokens_map), []
    answers = harness.ask(network, tokenizer, prompt, asked, check=lambda: calls.append(1))
    assert tokenizer.special_tokens_map == before, "what is stored with the model"
    assert len(calls) > 5, "it can be ended between passes"

    def alone(*names: str) -> dict:
        template = {"day": "10 Apr"}
        plain = HFLM(network, tokenizer=copy.deepcopy(tokenizer), batch_size=4, chat_template_args=template)
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        said = dict(bootstrap_iters=0, system_instruction="Be brief." if chat else None)
        return simple_evaluate(plain, tasks=list(names), task_manager=manager, **said, **options)

    own, group = alone("quiz", "said"), alone("both")
    means = answers.groupby("metric", sort=False)["score"].mean()
    found = [own["results"]["quiz"][key] for key in ("acc_norm,none", "acc,none")]
    expected = [*found, own["results"]["said"]["exact_match,first"], group["results"]["both"]["acc,none"]]
    assert list(means.index) == [
        "lm_eval_quiz_acc_norm",
        "lm_eval_quiz_acc",
        "lm_eval_said_exact_match_first",
        "lm_eval_both",
    ]
    assert means.tolist() == pytest.approx(expected, abs=1e-12)
    quiz = answers[answers["metric"] == "lm_eval_quiz_acc"]
    assert (
        quiz["score"].tolist() == [sample["acc"] for sample in own["samples"]["quiz"]] and 0 < quiz["score"].mean() < 1
    )
    assert len(answers[answers["metric"] == "lm_eval_both"]) == (8 if "limit" in options else 18)
    said = answers[answers["metric"] == "lm_eval_said_exact_match_first"]
    theirs = [s for s in own["samples"]["said"] if s["filter"] == "first"]
    assert said["generation"].tolist() == [s["filtered_resps"][0] for s in theirs] and quiz["generation"].isna().all()
    assert said["question"].str.startswith("10 Apr<system> Be brief.").all() == chat


@pytest.mark.parametrize(
    ("task", "code", "facts"),
    [
        ("quizz", "unknown-task", ["quizz", "quiz"]),
        ("quiz/exact", "unknown-metric", ["exact", "acc_norm"]),
        ("said/exact_match,last", "unknown-filter", ["last", "whole"]),
        ("rolled", "metric-no-mean", ["word_perplexity"]),
        ("each", "metric-no-mean", ["quiz", "small"]),
        ("tagged", "task-is-a-tag", ["small", "rolled"]),
    ],
)
def test_what_is_no_column_is_refused(folder, task, code, facts):
    include = str(folder)
    if code == "unknown-task":  # else all of the package's own tasks would be read
        (manager,) = [harness._manager(include, ("quiz",))]
        with refused(code, *facts):
            harness._load(manager, harness.Column.of(task))
        return
    with refused(code, *facts):
        harness.tasks(Harness(tasks=[task], include_path=include))


def test_data_that_are_not_there_are_refused(folder, tmp_path):
    broken = yaml.safe_load((folder / "quiz.yaml").read_text()) | {"task": "lost"}
    broken["dataset_kwargs"]["data_files"]["test"] = str(tmp_path / "nowhere.jsonl")
    (tmp_path / "lost.yaml").write_text(yaml.safe_dump(broken))
    with refused("task-not-loaded", "lost", "nowhere.jsonl"):
        harness.tasks(Harness(tasks=["lost"], include_path=str(tmp_path)))
