"""A default that a room without a config needs too is the same there."""

from baldro.config.model import Build, Model
from baldro.models.scratch import POSITIONS
from baldro.plan import sizes
from baldro.prompts.prompt import Prompt


def test_what_is_left_out_means_the_same_to_all_who_read_it():
    assert Model.model_fields["prompt"].default == Prompt.of({}).text
    shape = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    whole = Build(**shape).model_dump()
    assert whole["max_position_embeddings"] == POSITIONS
    assert sizes.parameters("m", {"build": shape}) == sizes.parameters("m", {"build": whole})
