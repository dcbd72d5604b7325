"""Full precision where rounded intermediates would give wrong results: in mixed precision, and on Apple's GPUs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """The function with autocast off and its half-precision arguments widened to float32.

    For solves, inverses and training targets: bfloat16 keeps 8 bits, so a warm start's mean would be off by more than
    the motions to be learned. Tensors inside (named) tuples are widened too.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next((tensor.device.type for tensor in _tensors((*args, *kwargs.values()))), "cpu")
        with torch.autocast(device, enabled=False):
            return function(*(_widened(value) for value in args), **{k: _widened(v) for k, v in kwargs.items()})  # type: ignore[arg-type]

    return wrapped


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Distances [..., Q, N] between points [..., Q, 3] and [..., N, 3].

    By differences: torch's matrix product shortcut loses small distances to cancellation.
    """
    if a.device.type == "cpu":
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return by_differences(a, b)  # on GPUs `cdist` uses a whole block of threads for every pair


def by_differences(a: Tensor, b: Tensor) -> Tensor:
    """`distances`, on any device."""
    return torch.linalg.vector_norm(a[..., :, None, :] - b[..., None, :, :], dim=-1)


def lacks_float64(device: torch.device | None) -> bool:
    """Whether a device lacks double precision, as Apple's GPUs do."""
    return device is not None and device.type == "mps"


def where_float64_is(function: Callable[P, R]) -> Callable[P, R]:
    """Runs a function that needs double precision on the CPU if its tensors' device lacks that.

    Functions among the arguments, such as a network, still get their tensors on the device.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        home = next((tensor.device for tensor in _tensors((*args, *kwargs.values()))), None)
        if home is None or not lacks_float64(home):
            return function(*args, **kwargs)
        away = torch.device("cpu")
        moved = [_moved(value, away, home) for value in args]
        result: R = _moved(
            function(*moved, **{key: _moved(value, away, home) for key, value in kwargs.items()}),  # type: ignore[arg-type]
            home,
            away,
        )
        return result

    return wrapped


def _moved(value: Any, to: torch.device, back: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(to)
    if isinstance(value, tuple):
        items = [_moved(item, to, back) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if callable(value):
        return lambda *tensors: _moved(value(*(_moved(tensor, back, to) for tensor in tensors)), to, back)
    return value


def _tensors(values: tuple[Any, ...]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple):
            found += _tensors(value)
    return found


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    if isinstance(value, tuple):
        items = [_widened(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value
