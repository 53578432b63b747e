"""LoRA: small trained matrices beside each frozen linear layer, in place, and folded into it at the end.

A layer computes W x + s B A x with s = alpha / rank; W stays, A and B are trained (Hu et al. 2021, arXiv 2106.09685, section 4.1).
The model stays the object that it was: the same body, head and forward pass.

Shape legend: O outputs and I inputs of a linear layer, R rank.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from baldro.errors import BaldroError
from baldro.prompts.encode import Tokens
from baldro.training.adapters import fila, quantised

UNTOUCHED = 0.01
"""Share of the weights in matrices (embeddings and output head aside) that adapters may not reach: a mixture's router is less."""
NAME = "default"
"""peft's name of a model's only adapter."""


class Adapters:
    """The adapters of one model. Training changes nothing else, so a checkpoint holds nothing else.

    Args:
        rank: R; a layer with I inputs and O outputs gets R (I + O) weights.
        alpha: the scale is alpha / rank.
        dropout: share of a layer's inputs that its adapter does not see in a training step.
        seed: of A; B is 0, so the model's function is unchanged.
        four_bit: quantise the frozen layers, and compute with them in this type, which they also have once they are merged; the model must
            then be moved to its device, where it is done. None: they stay as they are.

    Raises:
        BaldroError: an architecture most of whose weights adapters would not reach.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        seed: int = 0,
        four_bit: torch.dtype | None = None,
    ):
        from peft import LoraConfig, inject_adapter_in_model  # seconds that only its own runs pay

        self.model, self.rank, self.scale, self.four_bit = model, rank, alpha / rank, four_bit
        self.start: dict[str, Tensor] = {}
        """FILA's A and B, whose product the frozen weights lack."""
        names = linear_layers(model)
        config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names, bias="none")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inject_adapter_in_model(config, model, NAME)
        model.train(model.training)  # the new modules too
        self.layers = {name: model.get_submodule(name) for name in names}
        for layer in self.layers.values() if four_bit else ():
            layer.base_layer = quantised.quantised(layer.base_layer, computed=four_bit)

    def trained(self) -> dict[str, Tensor]:
        """A (R, I) and B (O, R) of each layer, by name."""
        factors = {}
        for name, layer in self.layers.items():
            factors |= {f"{name}.A": layer.lora_A[NAME].weight, f"{name}.B": layer.lora_B[NAME].weight}
        return factors

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint holds: the trained weights, and with FILA also their values at the start.

        The start is kept, not made again: it takes no more room than the adapters, spares the backward passes over all samples, and
        gives the frozen weights back to the last bit, as they are the loaded ones less one product.
        """
        trained = {name: factor.detach() for name, factor in self.trained().items()}
        return {**trained, **{f"start.{name}": factor for name, factor in self.start.items()}}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put a checkpoint's weights into a model that was loaded and adapted, and not trained."""
        for name, factor in self.trained().items():
            factor.copy_(state[name])
        self._begin_at({name.removeprefix("start."): state[name] for name in state if name.startswith("start.")})

    @torch.no_grad()
    def merge(self) -> None:
        """Add each adapter's product to its layer's weight and remove the adapter: the model has its own layers and names again.

        Of a 4-bit base the weight is what training computed with, not what was loaded.
        """
        for name, layer in self.layers.items():
            base = layer.get_base_layer()
            product_OI = self._product(layer.lora_A[NAME].weight, layer.lora_B[NAME].weight)
            base = quantised.plain(base) if self.four_bit else base
            base.weight.copy_(base.weight.to(product_OI) + product_OI)
            base = base.to(self.four_bit) if self.four_bit else base
            parent, _, own = name.rpartition(".")
            setattr(self.model.get_submodule(parent), own, base)
        self.layers = {}
        del self.model.peft_config
        self.model.requires_grad_(True)

    def start_fila(
        self,
        forget: Sequence[Tokens],
        retain: Sequence[Tokens],
        *,
        seed: int,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
        agreed: Callable[[Tensor], Tensor] = lambda factor: factor,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Move into A and B the part of each weight that matters to the forget set and little to the retain set; the function is unchanged.

        Of each W the best approximation of rank R, errors weighted by row: min || diag(w_O) (W - s B A) ||_F, with w_O the square root of
        the row sums of the relative importance F_forget / F_retain. The frozen weight becomes W - s B A.

        Cost: a forward and a backward pass with all gradients over each forget sample and over as many retain samples (drawn, if there are
        more), one sample at a time, with 4 bytes a weight meanwhile; then a decomposition of each W in float64, of order
        O I min(O, I).

        Args:
            seed: of the draw.
            autocast: what the forward passes run in.
            agreed: of several devices, which may round differently, the first one's factor.
            check: called between two samples, to end here.

        Raises:
            BaldroError: no forget or no retain samples; a layer that none moves; a rank that a weight does not have.
        """
        if not forget or not retain:
            raise BaldroError(
                "fila-without-both-sets", "lora_start fila needs forget and retain samples; allowed: runs with both"
            )
        weights = {name: layer.get_base_layer().weight for name, layer in self.layers.items()}
        rows = fila.row_weights(
            self.model, weights, forget, fila.drawn(retain, len(forget), seed), autocast=autocast, check=check
        )
        start = {}
        for name, w_O in rows.items():
            factors = fila.weighted_factors(weights[name].detach(), w_O, rank=self.rank, scale=self.scale, what=name)
            start |= {f"{name}.{part}": agreed(f.to(weights[name])) for part, f in zip("AB", factors, strict=True)}
            check()
        with torch.no_grad():
            for name, factor in self.trained().items():
                factor.copy_(start[name])
            self._begin_at(start)

    def _begin_at(self, start: Mapping[str, Tensor]) -> None:
        """Subtract the start's product from the frozen weights."""
        self.start = {name: factor.cpu() for name, factor in start.items()}
        for name, layer in self.layers.items() if start else ():
            weight_OI = layer.get_base_layer().weight
            product_OI = self._product(*(start[f"{name}.{part}"].to(weight_OI.device) for part in "AB"))
            weight_OI.copy_(weight_OI.to(product_OI) - product_OI)

    def _product(self, a_RI: Tensor, b_OR: Tensor) -> Tensor:
        """s B A, (O, I), in float32 or what is finer."""
        a_RI, b_OR = (factor if factor.dtype == torch.float64 else factor.float() for factor in (a_RI, b_OR))
        return self.scale * (b_OR @ a_RI)


def linear_layers(model: nn.Module) -> list[str]:
    """Names of the linear layers, without the output head.

    Raises:
        BaldroError: more than UNTOUCHED of the weights in matrices are not in linear layers, as in GPT-2, whose layers are of another
            class, and in a mixture whose experts are one tensor of three dimensions each.
    """
    head = model.get_output_embeddings()
    linear = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear) and part is not head}
    tables = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding) or part is head}
    matrices = {name: p for name, p in model.named_parameters() if p.ndim > 1 and id(p) not in tables}
    reached = {id(part.weight) for part in linear.values()}
    apart = {name: p.numel() for name, p in matrices.items() if id(p) not in reached}
    share = sum(apart.values()) / max(1, sum(p.numel() for p in matrices.values()))
    if share > UNTOUCHED or not linear:
        kinds = ", ".join(sorted({_without_number(name) for name in apart}))
        raise BaldroError(
            "lora-does-not-reach",
            f"lora_rank: adapters are put beside torch.nn.Linear, and {share:.0%} of the weights in {type(model).__name__}'s matrices "
            f"are not in such layers ({kinds}); allowed: architectures with at most {UNTOUCHED:.0%} (Llama, Mistral, Qwen, Gemma, Phi, "
            "...), or no lora_rank",
        )
    return list(linear)


def _without_number(name: str) -> str:
    """A parameter's name within its layer: mlp.experts.down_proj of model.layers.3.mlp.experts.down_proj."""
    return re.sub(r"^.*?\.\d+\.", "", name)
