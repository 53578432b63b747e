"""Every key of a model's definition is read by its verb, or it is known who else reads it."""

from baldro.config.model import Model
from baldro.runs import READ

ELSEWHERE = {
    **dict.fromkeys(("pretrain", "finetune"), "train: in the id of the run that makes the model"),
    **dict.fromkeys(("parameters", "layers"), "baldro plan and the checks of a config"),
    "needs": "resources of the jobs",
}


def test_each_key_of_a_definition_has_one_who_reads_it():
    assert sorted([*READ["model"], *ELSEWHERE]) == sorted(Model.model_fields)
