"""`training.compile`: torch.compile for the part of a network that is nearly all of its arithmetic.

That is the denoiser of a diffusion stage and the decoder's trunk of an autoencoder, and beside it one step of the warm
start's rigid iterations, which is hundreds of products of small matrices. The rest of a step (drawing clips, farthest
points, factorisations) is made of loops and solvers that compile slowly and gain nothing; compiled as a whole, a step
does not get through torch 2.13's own attention patterns, which are therefore off.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from core.models.deformation_priors import rigid_step

OPTIONS: dict[str, str | int | bool] = {"pattern_matcher": False}


def network_parts(trained: nn.Module) -> list[nn.Module]:
    """The modules that are worth compiling."""
    denoiser = getattr(trained, "denoiser", None)
    if isinstance(denoiser, nn.Module):
        return [denoiser]
    trunk = getattr(trained, "trunk", None)
    return list(trunk) if isinstance(trunk, nn.ModuleList) else []


def compile_network(trained: nn.Module, backend: str = "inductor") -> None:
    """Compile the parts in place: names of weights and hooks stay as they are. Takes place at the first call."""
    options = OPTIONS if backend == "inductor" else None
    for part in network_parts(trained):
        part.compile(backend=backend, options=options)
    # Its numbers of points and of frames change with the task.
    rigid_step.compile(backend=backend, options=options, dynamic=True)


def eagerly(compiled: bool) -> AbstractContextManager[object]:
    """Within this, compiled parts run as written: for checks and counts, which are not worth compiling for."""
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
