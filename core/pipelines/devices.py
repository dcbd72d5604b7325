"""Chooses the device for models, and continues on less memory or on the CPU when its memory runs out."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

import torch

from core.errors import M2VError

Part = TypeVar("Part")
Made = TypeVar("Made")
_SIGNS = ("out of memory", "not enough memory", "can't allocate memory")  # in RuntimeErrors of allocators


def choose_device(name: str) -> torch.device:
    """The device auto (the GPU, if there is one), cpu, cuda, cuda:N or mps. Raises M2VError if it does not exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # refused with the others below
    if device.type not in ("cpu", "cuda", "mps"):
        raise M2VError(f"There is no device {name[:40]!r}; choose auto, cpu, cuda, cuda:N or mps.")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise M2VError("This machine has no CUDA device; choose cpu or auto.")
        if device.index is not None and device.index >= count:
            last = f"has {count}, cuda:0 to cuda:{count - 1}" if count > 1 else "has one, cuda:0"
            raise M2VError(f"There is no device {name!r}: this machine {last}; choose one of them, or auto.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise M2VError("This machine has no MPS device (an Apple GPU); choose cpu or auto.")
    return device


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that a device or the machine is out of memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def in_smaller_batches(
    compute: Callable[[slice], Part], count: int, device: torch.device
) -> tuple[list[Part], tuple[str, ...]]:
    """The results of `compute` for `count` seeds, all at once; if they do not fit, half as many at a time, and so on.

    Also returns a note if they did not fit. Raises MemoryError if not even one fits.
    """
    parts: list[Part] = []
    done, size = 0, max(count, 1)
    while done < count:
        some = slice(done, min(done + size, count))
        part = _unless_memory_runs_out(partial(compute, some))
        if part is not None:
            parts.append(part)
            done = some.stop
        elif size == 1:
            raise MemoryError(f"The memory of {device} is too small.")
        else:
            size = (size + 1) // 2
    fit = f"{device} did not have enough memory for {count} seeds at once, so they were made {size} at a time."
    return parts, () if size >= count else (fit,)


class Movable(Protocol):
    """A pipeline with models on one device."""

    device: torch.device

    def on_cpu(self) -> Any:
        """The same pipeline on the CPU."""


Pipeline = TypeVar("Pipeline", bound=Movable)


def on_cpu_at_need(pipeline: Pipeline, run: Callable[[Pipeline], Made]) -> Made:
    """The result of `run` with the pipeline; if the device's memory runs out, with its copy on the CPU, and a note.

    The result is a dataclass with `notes`. Raises MemoryError if the machine's own memory is too small.
    """
    result = _unless_memory_runs_out(lambda: run(pipeline))
    if result is not None:
        return result
    if pipeline.device.type == "cpu":
        raise MemoryError("The machine's memory is too small.")
    result = _unless_memory_runs_out(lambda: run(pipeline.on_cpu()))
    if result is None:
        raise MemoryError(f"Neither {pipeline.device} nor the machine has enough memory.")
    note = f"{pipeline.device} ran out of memory, so this was computed on the CPU."
    moved: Made = replace(result, notes=(*result.notes, note))  # type: ignore[type-var, attr-defined]
    return moved


def where_it_fits(load: Callable[[torch.device], Made], device: torch.device) -> Made:
    """The result of `load` on the device, or on the CPU if the device's memory is full."""
    result = _unless_memory_runs_out(lambda: load(device))
    return load(torch.device("cpu")) if result is None else result


def _unless_memory_runs_out(compute: Callable[[], Made]) -> Made | None:
    try:
        return compute()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # Memory of the failed call can be freed only here, where nothing refers to it any more.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
    return None
