"""Khronos's own validator finds no error and no warning in what is exported, where it is installed.

`npm install gltf-validator` in any folder, and NODE_PATH set to its `node_modules`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from core.io.export import export_sequence
from core.io.export_clip import ExportOptions
from core.io.gltf import buffer
from core.io.mesh.mesh_reader import read_mesh
from core.io.rig_export import export_rig
from core.pipelines.make_rig import RigOptions, make_rig
from core.sequence import MeshSequence
from tests.cases import MESHES, mesh_file
from tests.io.conftest import Case
from tests.rigging.bent_tube import bent_tube

REPORT = """
const { validateBytes } = require("gltf-validator"), { readFileSync } = require("fs");
(async () => {
  const said = {};
  for (const file of process.argv.slice(1)) {
    const { issues } = await validateBytes(new Uint8Array(readFileSync(file)));
    said[file] = issues.messages.filter((issue) => issue.severity < 2);
  }
  console.log(JSON.stringify(said));
})();
"""


@pytest.fixture(scope="module")
def node() -> str:
    """Node, with the validator."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("no Node")
    known = subprocess.run([program, "-e", "require('gltf-validator')"], capture_output=True, check=False)
    if known.returncode != 0:
        pytest.skip("no gltf-validator where Node looks (NODE_PATH)")
    return program


def assert_valid(node: str, folder: Path, count: int) -> None:
    files = sorted(map(str, folder.glob("*.glb")))
    assert len(files) == count
    done = subprocess.run([node, "-e", REPORT, *files], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {file: [] for file in files}


@pytest.mark.parametrize("small", [buffer.SMALL, 1], ids=["in memory", "through a file"])
def test_every_case_is_valid_moving_and_still(
    node: str, tmp_path: Path, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffer, "SMALL", small)
    for case in MESHES:
        mesh = read_mesh(mesh_file(case, tmp_path))
        motion = MeshSequence(mesh.vertices * np.linspace(1, 1.2, 4, dtype=np.float32)[:, None, None], mesh.faces)
        for name, options in (("moving", ExportOptions()), ("still", ExportOptions(end=0))):
            out = tmp_path / "out" / f"{case.name}-{name}.glb"
            export_sequence(motion, out, mesh, options=options)
    assert_valid(node, tmp_path / "out", 2 * len(MESHES))


def test_bones_are_valid_with_and_without_materials(node: str, case: Case, tmp_path: Path) -> None:
    tube = bent_tube()
    export_rig(make_rig([tube, bent_tube(9, 1.0)], ["bend", "another"], RigOptions(8)).rig, tube, tmp_path / "tube.glb")
    rig = make_rig([case.sequence], ["bend"], RigOptions(4)).rig
    export_rig(rig, case.sequence, tmp_path / "case.glb", case.source)
    assert_valid(node, tmp_path, 2)
