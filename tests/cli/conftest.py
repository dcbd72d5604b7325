"""What tests of the commands share: weights that a moment has made, and a stand-in for reconstruction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.checkpoint import save_checkpoint
from core.config import load_config
from core.models.diffusion_models import build_motion_autoencoder, build_motion_diffusion, build_shape_autoencoder
from core.pipelines.reconstruct import Reconstructor
from core.pipelines.request import OnStep, Progress, Reconstruction, ReconstructionOptions, ReconstructionSet
from core.sequence import MeshSequence, Normalization, ScanSequence

STAGES = {
    "shape-autoencoder": build_shape_autoencoder,
    "motion-autoencoder": build_motion_autoencoder,
    "motion-diffusion": build_motion_diffusion,
}
FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], dtype=np.int32)
CORNERS = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.4, 0], [0, 0.1, 0.3]])


class FakeReconstructor:
    """A tetrahedron per seed where the shape is said to lie; keeps what it was asked."""

    asked: tuple[ScanSequence, ReconstructionOptions]

    def reconstruct(
        self, scans: ScanSequence, options: ReconstructionOptions, on_step: OnStep | None = None
    ) -> ReconstructionSet:
        self.asked = (scans, options)
        if on_step is not None:
            on_step(Progress(1, 2, "Denoising"))
        place = options.normalization or Normalization(np.zeros(3), 2.0, scans.up_axis)
        vertices = np.repeat(place.invert(CORNERS)[None], scans.frames, axis=0).astype(np.float32)
        samples = []
        for number in range(options.sampling.seeds):
            fit = np.full(scans.frames, 0.01 * (number + 1), dtype=np.float32)
            fit[-1] = np.nan if number else 0.03
            shown = np.zeros(vertices.shape[:2], dtype=np.float32)
            sequence = MeshSequence(vertices, FACES, scans.fps, name=scans.name)
            samples.append(Reconstruction(options.sampling.seed + number, sequence, fit, shown, shown + 0.002))
        return ReconstructionSet(tuple(samples), place, 1.5, "fake", "cpu")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeReconstructor:
    made = FakeReconstructor()
    monkeypatch.setattr(Reconstructor, "load", classmethod(lambda cls, preset, device: made))
    return made


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    config = load_config("tiny")
    torch.manual_seed(0)
    for stage, build in STAGES.items():
        record = {"step": 12, "checks": [{"loss": 0.25}]}
        save_checkpoint(folder / f"{stage}.safetensors", stage, config, build(config).state_dict(), record, half=True)
    return folder
