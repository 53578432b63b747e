"""What a model's description says, held against the folder that it is of."""

import json

import pytest

from baldro.durable.contents import model_content
from baldro.errors import BaldroError
from baldro.jobs.given import start


def test_a_folder_that_has_changed_since_it_was_described(tmp_path):
    """Between the description and the job, or by hand: the prompt would be another one than the reference's."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"):
        (folder / name).write_text(name)
    stored = dict(name="m", prompt="chat", build=None, starts={"target": str(folder)})
    described = tmp_path / "m.json"
    described.write_text(json.dumps(stored | {"contents": {"target": model_content(folder, weights=False)}}))
    assert start(described, "target") == str(folder)
    (folder / "model.safetensors").write_text("other weights, which results/weights/m/target.json speaks of")
    assert start(described, "target") == str(folder)
    (folder / "chat_template.jinja").write_text("other")
    with pytest.raises(BaldroError, match=r"model has another tokenizer, chat template or config than when .*m\.json"):
        start(described, "target")
    described.write_text(json.dumps(stored))
    assert start(described, "target") == str(folder), "a description by hand"
    with pytest.raises(BaldroError, match=r"unknown part 'targets' in model m \(did you mean target\?\)"):
        start(described, "targets")
