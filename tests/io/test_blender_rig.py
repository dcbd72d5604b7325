"""A rig in the real Blender: an armature with an action of editable keys, which moves the mesh as the sequence does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from core.io.rig_export import export_rig
from core.pipelines.make_rig import RigOptions, make_rig
from tests.io.blender import blender_python
from tests.rigging.bent_tube import bent_tube

PYTHON = blender_python()


@pytest.mark.parametrize("suffix", [".glb", ".usdc"])
def test_blender_shows_an_armature_with_an_action(tmp_path, suffix) -> None:
    sequence = bent_tube()
    result = make_rig([sequence], ["bend"], RigOptions(3, exactly=True))
    path = export_rig(result.rig, sequence, tmp_path / f"rig{suffix}")[0]
    script = Path(__file__).with_name("blender_rig.py")
    command = [PYTHON, str(script), str(path), str(sequence.frames), str(tmp_path / "shown.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found = np.load(tmp_path / "shown.npz")
    upright = np.stack([sequence.vertices[..., 0], -sequence.vertices[..., 2], sequence.vertices[..., 1]], -1)
    assert found["frames"].shape == upright.shape
    assert np.linalg.norm(found["frames"] - upright, axis=-1).mean() < 3 * 2e-3  # 3 long
    names = [name.replace(" ", "_") for name in result.rig.names]
    assert sorted(str(name).replace(" ", "_") for name in found["bones"]) == sorted(names)
    assert sorted(map(str, found["groups"])) == sorted(map(str, found["bones"]))
    assert len(found["actions"]) == 1 and found["curves"][0] >= 4 * 3 and 1 < found["keys"][0] <= sequence.frames
