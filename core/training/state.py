"""The state of a running stage on disk: weights, averaged weights, optimiser moments, counters; one safetensors file.

Data are drawn from seeds that depend on the step only, so these tensors are all a run needs to go on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.atomic import write_atomically
from core.errors import CheckpointError
from core.training.growth import Fitted, fit, padded

COUNTERS = ("step", "clips", "seconds", "machines", "checks")


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
        averaged, current = [], []
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                averaged.append(self.tensors[name])
                current.append(tensor.detach())
            else:
                self.tensors[name].copy_(tensor)
        torch._foreach_lerp_(averaged, current, 1 - decay)  # one kernel on a GPU, not one per tensor


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
    names = [name for name, _ in module.named_parameters()]
    header = {
        "counters": json.dumps({**counters, "average_updates": average.updates}),
        "parameters": json.dumps(names),  # the optimiser's numbers mean these
    }
    write_atomically(path, lambda temporary: save_file(stored, temporary, metadata=header))


def load_state(
    path: Path, module: nn.Module, average: AveragedWeights, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], str | None]:
    """Restore everything `save_state` wrote; returns the counters and a note on parts the module got since, or None.

    What the file lacks starts fresh, with fresh moments (`core.training.growth`). Raises CheckpointError.
    """
    try:
        with safe_open(str(path), framework="pt") as handle:
            header = handle.metadata() or {}
            counters = json.loads(header["counters"])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a dict)
        updates = int(counters.pop("average_updates"))
        missing = [name for name in COUNTERS if name not in counters]
        if missing:
            raise ValueError(f"no counter {missing[0]}")
        names = json.loads(header["parameters"]) if "parameters" in header else None
        fitted = _restore(tensors, names, module, average, optimizer)
    except (
        SafetensorError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        RuntimeError,
        CheckpointError,
    ) as error:
        raise CheckpointError(
            f"{path} is damaged or belongs to another configuration; delete it to start this stage again."
        ) from error
    average.updates = updates
    return counters, fitted.note()


def _restore(
    tensors: Mapping[str, Tensor],
    names: list[str] | None,
    module: nn.Module,
    average: AveragedWeights,
    optimizer: torch.optim.Optimizer,
) -> Fitted:
    part = lambda prefix: {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}  # noqa: E731
    weights = fit(module.state_dict(), part("model."), "the state")
    if weights.unused:
        raise ValueError(f"no place for {weights.unused[0]}")
    averages = fit(average.tensors, part("average."), "the state's average")
    parameters = dict(module.named_parameters())
    if names is None:  # a state from before names were kept: its parameters were in today's order
        names = [name for name in parameters if name not in weights.fresh]
    numbers = {name: number for number, name in enumerate(parameters)}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in part("optimizer.").items():
        old, kind = key.split(".", 1)
        name = names[int(old)]
        value = padded(tensor, parameters[name], f"{kind} of {name}") if tensor.dim() else tensor
        moments.setdefault(numbers[name], {})[kind] = value
    module.load_state_dict(weights.tensors)
    for name, tensor in averages.tensors.items():
        average.tensors[name].copy_(tensor)
    state = optimizer.state_dict()
    state["state"] = moments
    optimizer.load_state_dict(state)
    return weights
