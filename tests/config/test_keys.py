"""The generated schema and page are those of the models, and say of every key what it is."""

from functools import cache

import pytest
import yaml

from baldro.config import keys
from baldro.config.fields import SETTINGS
from baldro.methods.catalogue import COMBINERS, OBJECTIVES, VARIANTS
from baldro.runs.fields import AXES as FIELDS_OF_A_BLOCK
from baldro.runs.fields import FIELDS

SCHEMA = keys.schema()
AXES = SCHEMA["$defs"]["Axes"]["properties"]
CONFIGS = [keys.ROOT / "config.yaml", *sorted((keys.ROOT / "experiments").glob("*.yaml"))]


@pytest.mark.parametrize("path", keys.files(), ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path):
    assert path.read_text() == keys.files()[path], "python -m baldro.config writes it"


def test_every_key_has_a_text_and_no_section_takes_an_unknown_one():
    for section in (SCHEMA, *SCHEMA["$defs"].values()):
        assert section["description"]
        for name, spec in section.get("properties", {}).items():
            assert spec.get("description"), name
        assert "properties" not in section or section["additionalProperties"] is False


def test_the_axes_are_the_fields_of_a_run_and_the_settings_those_that_no_method_owns():
    assert list(AXES) == [*FIELDS_OF_A_BLOCK, "requests", "then"]
    assert list(SCHEMA["$defs"]["Settings"]["properties"]) == list(SETTINGS)
    for name, choices in (("objective", OBJECTIVES), ("variant", VARIANTS), ("combiner", COMBINERS)):
        one, several = AXES[name]["anyOf"]
        assert set(one["enum"]) == set(several["items"]["enum"]) == set(choices)
    assert AXES["rmu_layer"]["anyOf"][0] == {"type": ["integer", "string"], "minimum": 0}
    assert AXES["dv_beta"]["description"] == FIELDS["dv_beta"]["text"]


@cache
def validator_of_editors():
    """The schema as editors read it, themselves by a schema."""
    jsonschema = pytest.importorskip("jsonschema")  # of which editors have their own
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_schema_takes_what_the_models_take(path):
    validator = validator_of_editors()
    shared = {kind: yaml.safe_load((keys.ROOT / f"{kind}.yaml").read_text()) for kind in ("models", "benchmarks")}
    config = yaml.safe_load(path.read_text())
    whole = {**config, **{kind: shared[kind] | config.get(kind, {}) for kind in shared}}
    assert [error.message for error in validator.iter_errors(whole)] == []
    assert any("dvbeta" in error.message for error in validator.iter_errors({**config, "dvbeta": 1}))
