"""A model over several devices: each holds a share of weights, gradients and optimiser state, and gathers a layer's weights to use them.

By torch's `fully_shard`: every layer of the body is a group, all else (embeddings, norm, output head) one more. Gradients are summed
over devices, never averaged, so that what a step computes is what one device computes.
"""

from collections.abc import Mapping
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from baldro.models import layers


def shard(model: nn.Module, *, device: torch.device, size: int) -> None:
    """Split a model in place, layer by layer, over the `size` devices of the process group; it goes to them on the way."""
    mesh = init_device_mesh(device.type, (size,))
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)  # sums of bf16 gradients too
    if any(p.dtype == torch.float64 for p in model.parameters()):
        policy = MixedPrecisionPolicy()
    for layer in layers(model):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=False)  # the head is used behind the body
    for part in _parts(model):
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)  # other factors are unknown to gloo
    model.run_body = MethodType(_run_body, model)
    register_fsdp_forward_method(model, "run_body")


def _run_body(model: nn.Module, **inputs: Any) -> Tensor:
    """The body's forward pass, before which the embeddings and the head are gathered."""
    return model.base_model(**inputs).last_hidden_state


def let_go(model: nn.Module) -> None:
    """Drop gathered weights: behind a pass without gradients they stay, and would be stale once the weights are changed."""
    for part in _parts(model):
        part.reshard()


def gather(model: nn.Module, *, keep: bool) -> None:
    """Make a split model whole again in the node's memory, in place. Every device takes part.

    Args:
        keep: false on a device that has no use for it; its model is not to be used any more.
    """
    let_go(model)
    whole: dict[int, nn.Parameter] = {}  # embeddings that are the head too stay one parameter
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if isinstance(parameter, DTensor):
                if id(parameter) not in whole:
                    full = full_tensor(parameter.detach(), keep=keep)
                    whole[id(parameter)] = nn.Parameter(full, requires_grad=parameter.requires_grad)
                module._parameters[name] = whole[id(parameter)]
    for part in _parts(model):
        part.__class__ = type(part).__mro__[2]  # FSDPLlamaForCausalLM -> (FSDPModule, LlamaForCausalLM)
    model.__dict__.pop("run_body", None)


def full_tensor(tensor: Tensor, *, keep: bool = True) -> Tensor:
    """A tensor whole, in the node's memory; of one that is split, every device takes part, and gets it if it wants to `keep` it."""
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.cpu() if keep else full.new_empty(0)


def whole(state: Any, *, keep: bool) -> Any:
    """A nested state (`state_dict`) with every split tensor whole, in the node's memory; what is not split stays as it is.

    Args:
        keep: as in `full_tensor`.
    """
    if isinstance(state, Mapping):
        return {key: whole(value, keep=keep) for key, value in state.items()}
    return full_tensor(state, keep=keep) if isinstance(state, DTensor) else state


def load(state: Mapping[str, Any], model: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Whole states of a model and its optimiser -> each device's shares of them, under `model` and `optimizer`.

    Args:
        state: as `whole` gave it, perhaps on another number of devices; every device has it.
        model: split, or what has the `state_dict` of its trained weights.
    """
    like = model.state_dict()
    weights = {name: _split(tensor, like.get(name)) for name, tensor in state["model"].items()}
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        i: {name: _split(value, trained[i]) for name, value in values.items()}
        for i, values in state["optimizer"]["state"].items()
    }
    return {"model": weights, "optimizer": {**state["optimizer"], "state": moments}}


def _split(value: Any, like: Any) -> Any:
    """A tensor split as another of its shape is; anything else stays as it is."""
    if not (isinstance(value, Tensor) and isinstance(like, DTensor) and value.shape == like.shape):
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _parts(model: nn.Module) -> list[FSDPModule]:
    return [module for module in model.modules() if isinstance(module, FSDPModule)]
