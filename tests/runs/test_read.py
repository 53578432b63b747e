"""Every key of a definition is read by its verb, or it is known who else reads it."""

import yaml

from baldro.runs import READ
from baldro.runs.loading import SCHEMA

ELSEWHERE = {
    "benchmark": {
        **dict.fromkeys(("max_new_tokens", "evaluate_rows", "gradient_norms", "fluency"), "score"),
        **dict.fromkeys(("rows", "tokens_per_row"), "baldro plan"),
    },
    "model": {
        **dict.fromkeys(("pretrain", "finetune"), "train: in the id of the run that makes the model"),
        **dict.fromkeys(("parameters", "layers"), "baldro plan and the checks of a config"),
        "needs": "resources of the jobs",
    },
}


def test_each_key_of_a_definition_has_one_who_reads_it():
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    for kind, elsewhere in ELSEWHERE.items():
        assert sorted([*READ[kind], *elsewhere]) == sorted(schema[kind]["properties"]), kind
