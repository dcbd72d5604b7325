"""The state of a running stage as a safetensors file: weights, averaged weights, optimiser moments and counters.

Data are drawn from seeds that depend only on the step, so a run needs nothing else to continue. A network that has got
new parts since keeps what fits (`partial_load`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from core.atomic import write_atomically
from core.checkpoint import current_name
from core.errors import CheckpointError

NAMED = 4  # parts that a note names; of others it says how many there are
COUNTERS = ("step", "clips", "seconds", "machines", "checks")


class AveragedWeights:
    """Exponential moving average of all floating-point tensors, with a warm-up that forgets early weights."""

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
        torch._foreach_lerp_(averaged, current, 1 - decay)  # on a GPU one kernel, not one per tensor


@contextmanager
def averaged_weights(module: nn.Module, average: AveragedWeights) -> Iterator[None]:
    """Within the block, the module has the averaged weights and is in evaluation mode."""
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
        "parameters": json.dumps(names),  # in the order of the optimiser's numbers
    }
    write_atomically(path, lambda temporary: temporary.write_bytes(save(stored, header)))


def load_state(
    path: Path, module: nn.Module, average: AveragedWeights, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], str | None]:
    """Restore what `save_state` wrote; returns the counters and a note on parts that the module has got since, or None.

    Parts that the file lacks start fresh, with fresh moments (`partial_load`). Raises CheckpointError.
    """
    try:
        with safe_open(str(path), framework="pt") as handle:
            header = handle.metadata() or {}
            counters = json.loads(header["counters"])
            tensors = {current_name(name): handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        updates = int(counters.pop("average_updates"))
        missing = [name for name in COUNTERS if name not in counters]
        if missing:
            raise ValueError(f"no counter {missing[0]}")
        names = [current_name(name) for name in json.loads(header["parameters"])]
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
    names: list[str],
    module: nn.Module,
    average: AveragedWeights,
    optimizer: torch.optim.Optimizer,
) -> Fitted:
    part = lambda prefix: {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}  # noqa: E731
    weights = partial_load(module.state_dict(), part("model."), "the state")
    if weights.unused:
        raise ValueError(f"no place for {weights.unused[0]}")
    averages = partial_load(average.tensors, part("average."), "the state's average")
    numbers = {name: number for number, (name, _) in enumerate(module.named_parameters())}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in part("optimizer.").items():
        old, kind = key.split(".", 1)
        moments.setdefault(numbers[names[int(old)]], {})[kind] = tensor
    module.load_state_dict(weights.tensors)
    for name, tensor in averages.tensors.items():
        average.tensors[name].copy_(tensor)
    state = optimizer.state_dict()
    state["state"] = moments
    optimizer.load_state_dict(state)
    return weights


@dataclass(frozen=True)
class Fitted:
    """A complete set of tensors for the module, and the names of those that did not fit."""

    tensors: dict[str, Tensor]
    fresh: tuple[str, ...]  # absent in the file
    unused: tuple[str, ...]  # of the file, not in the module

    def note(self) -> str | None:
        """What did not fit, in one line; None if everything did."""
        parts = [
            f"{what} {_listed(names)}"
            for names, what in ((self.fresh, "new and fresh:"), (self.unused, "in the file but not used:"))
            if names
        ]
        return "; ".join(parts) if parts else None


def partial_load(own: Mapping[str, Tensor], stored: Mapping[str, Tensor], where: str) -> Fitted:
    """The `stored` tensors with the types of `own`; tensors that the file lacks keep their fresh values.

    So training survives new parts of the network. Raises CheckpointError for a tensor of another shape.
    """
    tensors, fresh = {}, []
    for name, value in own.items():
        if name not in stored:
            fresh.append(name)
            tensors[name] = value.detach().clone()
        elif stored[name].shape == value.shape:
            tensors[name] = stored[name].to(value)
        else:
            raise CheckpointError(
                f"{where}: {name} has the shape {tuple(stored[name].shape)}, expected {tuple(value.shape)}; the "
                "preset's sizes must be those of the earlier training run."
            )
    if len(fresh) == len(own):
        raise CheckpointError(f"{where} does not fit this network; choose weights of the same stage.")
    return Fitted(tensors, tuple(fresh), tuple(sorted(set(stored) - set(own))))


def _listed(names: Iterable[str]) -> str:
    """The modules of these tensor names; of many, only the first few and their number."""
    modules = sorted({name.rsplit(".", 1)[0] for name in names})
    shown = ", ".join(modules[:NAMED])
    return shown if len(modules) <= NAMED else f"{shown} and {len(modules) - NAMED} more"
