"""training.compile: the networks of all stages are found, traced and called; the compiler proper is not run here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.models.diffusion_models import build_motion_autoencoder, build_motion_diffusion, build_shape_autoencoder
from core.training.compiled import eagerly, network_parts
from tests.training.fixed import tiny


def test_every_stage_has_parts_worth_compiling() -> None:
    config = tiny()
    for build in (build_shape_autoencoder, build_motion_autoencoder, build_motion_diffusion):
        module = build(config)
        inside = sum(weight.numel() for part in network_parts(module) for weight in part.parameters())
        assert inside > 0.2 * sum(weight.numel() for weight in module.parameters())
    assert network_parts(nn.Linear(2, 2)) == []


SAME = """
import copy, torch
from core.training.compiled import compile_network
from core.training.objectives import MotionAutoencoderObjective
from tests.training.fixed import FixedClips, tiny
torch.manual_seed(0)
plain = MotionAutoencoderObjective(tiny())
traced = copy.deepcopy(plain)
compile_network(traced.trained, backend="eager")
assert list(traced.trained.state_dict()) == list(plain.trained.state_dict())
clips = plain.draw(FixedClips(), 2, torch.Generator().manual_seed(0), "train")
losses = []
for objective in (plain, traced):
    torch.manual_seed(1)  # the posterior is sampled
    loss, _ = objective(clips, torch.Generator().manual_seed(0))
    loss.backward()
    losses.append(loss.detach())
assert torch.allclose(*losses, rtol=1e-5), losses
for (name, ours), theirs in zip(traced.trained.named_parameters(), plain.trained.parameters(), strict=True):
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5), name
from core.models.deformation_priors import ArapSystem
for count in (12, 20):  # numbers of points change with the task
    system = ArapSystem.of(torch.randn(2, count, 3), torch.ones(2, count, count), torch.ones(2, count))
    moved, targets = torch.randn(2, count, 4, 3), torch.randn(2, count, 4, 3)
    assert torch.allclose(system.step(moved, targets), system.as_written(moved, targets), atol=1e-5)
"""


def test_compiled_parts_answer_the_same_under_the_same_names() -> None:
    """In a process without the tests' checks of array shapes, which cannot be traced."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", SAME], cwd=root, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("compiled", [True, False])
def test_checks_run_as_written(compiled: bool) -> None:
    """With compiled parts, the stance is eager inside and as before outside."""
    calls = []

    def backend(graph: torch.fx.GraphModule, examples: list[Tensor]) -> object:
        calls.append("compiled")
        return graph.forward

    function = torch.compile(lambda x: x + 1, backend=backend)
    with eagerly(compiled):
        function(torch.zeros(2))
    assert len(calls) == (0 if compiled else 1)
    function(torch.zeros(2))
    assert len(calls) == 1
