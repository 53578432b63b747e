"""What a model's description says, held against the folder that it is of."""

from refusals import refused

from baldro.durable.contents import model_content
from baldro.records import model


def test_a_folder_that_has_changed_since_it_was_described(tmp_path):
    """Between the description and the job, or by hand: the prompt would be another one than the reference's."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"):
        (folder / name).write_text(name)
    told = dict(name="m", prompt="chat", build=None, starts={"target": str(folder)})
    model.write(
        tmp_path / "m.json",
        model.Description(**told, contents={"target": model_content(folder, weights=False)}),
    )
    described = model.read(tmp_path / "m.json")
    assert described.start("target") == str(folder)
    (folder / "model.safetensors").write_text("other weights, which results/weights/m/target.json speaks of")
    assert described.start("target") == str(folder)
    (folder / "chat_template.jinja").write_text("other")
    with refused("model-changed-since", folder, "model m"):
        described.start("target")
    by_hand = model.Description(**told)
    assert by_hand.start("target") == str(folder)
    with refused("unknown-part", "'targets' in model m", "mean target?"):
        by_hand.start("targets")
