"""`training.compile`: torch.compile for the parts that do nearly all of the arithmetic.

These are the denoiser, an autoencoder's decoder trunk, and one step of the warm start's rigid iterations. Drawing
clips, farthest points and factorisations are loops and solvers that compile slowly and gain nothing. Torch 2.13's
attention patterns fail on these networks, so they are switched off.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from core.models.deformation_priors import rigid_step

OPTIONS: dict[str, str | int | bool] = {"pattern_matcher": False}


def network_parts(trained: nn.Module) -> list[nn.Module]:
    """The modules worth compiling."""
    denoiser = getattr(trained, "denoiser", None)
    if isinstance(denoiser, nn.Module):
        return [denoiser]
    trunk = getattr(trained, "trunk", None)
    return list(trunk) if isinstance(trunk, nn.ModuleList) else []


def compile_network(trained: nn.Module, backend: str = "inductor") -> None:
    """Compile the parts in place at their first call; names of weights and hooks do not change."""
    options = OPTIONS if backend == "inductor" else None
    for part in network_parts(trained):
        part.compile(backend=backend, options=options)
    # The numbers of points and frames change with the task.
    rigid_step.compile(backend=backend, options=options, dynamic=True)


def eagerly(compiled: bool) -> AbstractContextManager[object]:
    """Within the block, compiled parts run uncompiled, for checks and for counting operations."""
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
