"""A rig in three.js: one SkinnedMesh with named bones and clips, which moves as the sequence does.

`npm install three` in any folder, and NODE_PATH set to its `node_modules`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from core.io.rig_export import export_rig
from core.pipelines.make_rig import RigOptions, make_rig
from tests.rigging.bent_tube import bent_tube


@pytest.fixture(scope="module")
def three() -> tuple[str, str]:
    """Node, and the folder of three.js."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("no Node")
    asked = [program, "-p", "path.dirname(path.dirname(require.resolve('three')))"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip("no three.js where Node looks (NODE_PATH)")
    return program, found.stdout.strip()


@pytest.mark.parametrize("number", [0, 1])
def test_three_shows_a_skinned_mesh_with_the_motions(three: tuple[str, str], tmp_path: Path, number: int) -> None:
    sequences = [bent_tube(), bent_tube(9, 1.0)]
    rig = make_rig(sequences, ["bend", "an other"], RigOptions(8)).rig
    path = export_rig(rig, sequences[0], tmp_path / "rig.glb")[0]
    wanted = sequences[number]
    program, folder = three
    script = str(Path(__file__).with_name("three_skin.mjs"))
    out = tmp_path / "shown.f32"
    asked = [program, script, folder, str(path), str(number), str(wanted.frames), str(wanted.fps), str(out)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["meshes"] == 1
    plain = [name.replace(" ", "_") for name in rig.names]  # three.js allows no spaces
    assert said["bones"] == [[plain[b], "" if p < 0 else plain[p]] for b, p in enumerate(rig.parents)]
    assert [name for name, _ in said["clips"]] == ["bend", "an other"]
    assert said["clips"][number][1] == pytest.approx((wanted.frames - 1) / wanted.fps)
    assert {f"{name}.quaternion" for name in plain} <= {name for name, _ in said["tracks"]}
    assert max(keys for _, keys in said["tracks"]) <= wanted.frames
    shown = np.fromfile(out, "<f4").reshape(wanted.frames, -1, 3)
    assert shown.shape == wanted.vertices.shape
    made = rig.vertices(sequences[0].vertices[0].astype(np.float64), rig.actions[number])
    np.testing.assert_allclose(shown, made, atol=2e-4)
    assert np.linalg.norm(shown - wanted.vertices, axis=-1).mean() < 2e-3 * 3  # 3 long
