"""An entry of models.yaml, which a config's `models` may have too."""

from typing import Any, ClassVar

from pydantic import Field, model_validator

from baldro.config.fields import Settings
from baldro.config.part import Maybe, Part, Sources
from baldro.errors import BaldroError
from baldro.runs.needs import Needs, Whole


class Build(Part):
    """A Llama architecture with random weights and a byte-level BPE tokenizer trained on the benchmark."""

    vocab_size: Whole = Field(2048, ge=300, description="Tokens of the tokenizer.")
    hidden_size: Whole = Field(ge=8, description="Width.")
    num_hidden_layers: Whole = Field(ge=1, description="Depth.")
    num_attention_heads: Whole = Field(ge=1, description="Heads; divides hidden_size.")
    intermediate_size: Whole = Field(ge=8, description="Width of the MLP.")
    max_position_embeddings: Whole = Field(512, ge=16, description="Longest sequence in tokens.")


class Model(Part):
    """A model: `build` (from scratch), `source` (a pretrained base to finetune), or `target` and `retain` (published checkpoints)."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("build", "source", "target")

    build: Maybe[Build] = Field(None, description="A model from scratch: the shape of a Llama.")
    source: Maybe[Sources] = Field(None, description="A pretrained base.")
    target: Maybe[Sources] = Field(None, description="The published model that is to unlearn.")
    retain: Maybe[dict[str, Sources]] = Field(None, description="Published retain models by split, e.g. retain90.")
    checkpoints: Maybe[dict[str, Sources]] = Field(
        None,
        description="target: published models that were unlearned elsewhere, by name; `{stage: none, checkpoint: NAME}` in a grid scores "
        "one. Another entry describes the model anew, and so all its runs are made again: a list belongs in a model of its own.",
    )
    tokenizer: Maybe[Sources] = Field(
        None,
        description="Places of the tokenizer, for weights that come without one; by default each place's own.",
    )
    prompt: str = Field(
        "{question}\n",
        description="What stands before the answer, with {question} in it; or `chat`: the tokenizer's own chat template.",
    )
    system: Maybe[str] = Field(
        None,
        description="prompt chat: content of the system message before every question; none by default (many templates have one "
        "of their own).",
    )
    date: Maybe[str] = Field(
        None,
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="prompt chat: the date that the template gets for today where it asks by strftime_now, in quotes. A template that "
        "asks while none is declared is refused: its prompt would be another one every day.",
    )
    template: Maybe[dict[str, str | float | bool | list[Any] | dict[str, Any] | None]] = Field(
        None,
        min_length=1,
        description='prompt chat: further arguments of the chat template, such as {date_string: "10 Apr 2025", enable_thinking: false}; '
        "chat_template names one of several. A date must be in quotes.",
    )
    parameters: Maybe[float] = Field(None, gt=0, description="Number of parameters; only `baldro plan` reads it.")
    layers: Maybe[Whole] = Field(
        None,
        ge=1,
        description="Number of layers, of a model on the hub: so that a layer which is not there is refused before anything is "
        "downloaded.",
    )
    needs: Needs = Field(
        Needs(), description="What its jobs ask of a machine. It changes no number and reruns nothing."
    )

    @model_validator(mode="after")
    def _names_of_one_part(self) -> "Model":
        others = ("build", "base", "target", "tokenizer", *(self.retain or {}))
        if self.checkpoints and self.target is None:
            raise BaldroError(
                "key-missing", "checkpoints: there is no target; required: target, the model before unlearning"
            )
        if twice := [name for name in self.checkpoints or {} if name in others]:
            raise BaldroError(
                "name-of-two", f"checkpoints: {twice[0]!r} is another part's name; allowed: any but {', '.join(others)}"
            )
        return self

    pretrain: Maybe[Settings] = Field(
        None, description="build: how the base model is trained; fields as in the grid, one value each."
    )
    finetune: Maybe[Settings] = Field(
        None,
        description="build and source: how the target and retain models are trained; fields as in the grid, one value each.",
    )
