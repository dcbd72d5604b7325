"""Scans with fitted bodies for training come from the program's own search."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.bank.bodies import body_of
from core.bank.read_sequence import MeshMotion, body_of_motion
from core.data.clips import ClipRequest
from core.data.fitted_scans import FittedSource, write_scans
from core.data.procedural import ProceduralSource
from core.experiments import fitted_bodies
from core.experiments.body_bank import OWN_CREDIT
from core.pipelines.body_search import BodyPoses


@pytest.fixture(scope="module")
def poses() -> BodyPoses:
    made = ProceduralSource().mesh_sequence(3, 3, 6, 40, "quadruped")
    shape = body_of_motion("one", MeshMotion("quadruped", made.vertices, made.fps), made.faces, OWN_CREDIT, "own", 150)
    assert not isinstance(shape, str)
    return BodyPoses([body_of(shape)])


def test_bodies_lie_on_what_was_seen_and_are_drawn_again_from_the_file(
    tmp_path: Path, poses: BodyPoses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitted_bodies, "TRIED", 2)
    monkeypatch.setattr(fitted_bodies, "MOST_MISFIT", 1.0)
    scans = list(fitted_bodies.fitted_scans(None, poses, 2, seed=1))
    assert len(scans) == 2
    for scan in scans:
        seen = torch.from_numpy(scan["seen"][: int(scan["count"])])
        body = torch.from_numpy(scan["bodies"][0])
        assert float(torch.cdist(seen, body[:, :3]).amin(dim=1).mean()) < 0.08
        assert torch.allclose(body[:, 3:].norm(dim=1), torch.ones(len(body)), atol=1e-4)
    write_scans(tmp_path / "fitted-scans-train-1-000.safetensors", scans)
    clips = FittedSource(tmp_path).draw(ClipRequest(2, 1, 64, "train", 32), torch.Generator().manual_seed(0))
    assert clips.scan is not None and bool(torch.isfinite(clips.scan.body).all())
