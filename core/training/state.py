"""The state of a running stage on disk: weights, averaged weights, optimiser moments, counters; one safetensors file.

Data are drawn from seeds that depend on the step only, so these tensors are all a run needs to go on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.atomic import write_atomically
from core.errors import CheckpointError


class AveragedWeights:
    """Exponential moving average of all floating point tensors; warms up so that early weights are forgotten."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor.detach(), 1 - decay)
            else:
                self.tensors[name].copy_(tensor)


@contextmanager
def averaged_weights(module: nn.Module, average: AveragedWeights) -> Iterator[None]:
    """With this, the module holds the averaged weights and is in evaluation mode."""
    kept = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    try:
        module.load_state_dict(average.tensors)
        module.eval()
        yield
    finally:
        module.load_state_dict(kept)
        module.train()


def save_state(
    path: Path, module: nn.Module, average: AveragedWeights, optimizer: torch.optim.Optimizer, counters: dict[str, Any]
) -> None:
    """Write the whole state atomically; `counters` is any JSON value."""
    tensors = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.tensors.items()}
    for number, entries in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": torch.as_tensor(value) for key, value in entries.items()}
    stored = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    header = {"counters": json.dumps({**counters, "average_updates": average.updates})}
    write_atomically(path, lambda temporary: save_file(stored, temporary, metadata=header))


def load_state(
    path: Path, module: nn.Module, average: AveragedWeights, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore everything `save_state` wrote and return the counters; raises CheckpointError."""
    try:
        with safe_open(str(path), framework="pt") as handle:
            counters = json.loads((handle.metadata() or {})["counters"])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a dict)
        updates = int(counters.pop("average_updates"))
        missing = [name for name in ("step", "clips", "seconds", "machines", "checks") if name not in counters]
        if missing:
            raise ValueError(f"no counter {missing[0]}")
        _restore(tensors, module, average, optimizer)
    except (
        SafetensorError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        RuntimeError,
    ) as error:
        raise CheckpointError(
            f"{path} is damaged or belongs to another configuration; delete it to start this stage again."
        ) from error
    average.updates = updates
    return counters


def _restore(
    tensors: dict[str, Tensor], module: nn.Module, average: AveragedWeights, optimizer: torch.optim.Optimizer
) -> None:
    part = lambda prefix: {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}  # noqa: E731
    module.load_state_dict(part("model."))
    for name, tensor in part("average.").items():
        average.tensors[name].copy_(tensor)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in part("optimizer.").items():
        number, key = name.split(".", 1)
        moments.setdefault(int(number), {})[key] = tensor
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, entries in moments.items():
        if any(entry.dim() and entry.shape != parameters[index].shape for entry in entries.values()):
            raise ValueError(f"moments of parameter {index} have another shape")
    state = optimizer.state_dict()
    state["state"] = moments
    optimizer.load_state_dict(state)
