"""USD files against usd-core's own reader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pxr import Usd, UsdGeom, UsdShade

from core.assets import search_path
from core.errors import ExportError
from core.io.export import export_sequence
from core.io.export_clip import ExportOptions
from core.io.usd import usd_writer


def open_mesh(path):
    stage = Usd.Stage.Open(str(path))
    return stage, UsdGeom.Mesh(next(prim for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)))


@pytest.mark.parametrize("suffix", ["usdc", "usda", "usdz", "USDC"])
def test_every_frame_and_its_box(case, tmp_path, suffix):
    out = tmp_path / f"run.{suffix}"
    export_sequence(case.sequence, out, case.source)
    stage, mesh = open_mesh(out)
    assert stage.GetDefaultPrim().IsValid()
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0, case.sequence.frames - 1)
    assert stage.GetTimeCodesPerSecond() == stage.GetFramesPerSecond() == case.sequence.fps
    assert mesh.GetSubdivisionSchemeAttr().Get() == "none"
    for t, positions in enumerate(case.positions):
        np.testing.assert_allclose(np.array(mesh.GetPointsAttr().Get(t)), positions, atol=1e-6)
        np.testing.assert_allclose(
            np.array(mesh.GetExtentAttr().Get(t)), [positions.min(0), positions.max(0)], atol=1e-6
        )
        np.testing.assert_allclose(np.linalg.norm(np.array(mesh.GetNormalsAttr().Get(t)), axis=1), 1, atol=1e-5)
    faces = np.concatenate([part.faces for part in case.source.parts])
    np.testing.assert_array_equal(np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3), faces)


def test_uv_for_every_corner(case, tmp_path):
    export_sequence(case.sequence, tmp_path / "run.usdc", case.source)
    _stage, mesh = open_mesh(tmp_path / "run.usdc")
    st = UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st")
    values = np.array(st.Get())
    faces = np.concatenate([part.faces for part in case.source.parts])
    corners = values[faces] if st.GetInterpolation() == "vertex" else values.reshape(-1, 3, 2)
    np.testing.assert_array_equal(corners, case.corner_uv)


def test_each_part_is_a_subset_with_its_material(case, tmp_path):
    export_sequence(case.sequence, tmp_path / "run.usda", case.source)
    _stage, mesh = open_mesh(tmp_path / "run.usda")
    subsets = UsdShade.MaterialBindingAPI(mesh).GetMaterialBindSubsets()
    first = 0
    for part, subset in zip(case.source.parts, subsets, strict=True):
        indices = np.array(subset.GetIndicesAttr().Get())
        np.testing.assert_array_equal(indices, np.arange(first, first + len(part.faces)))
        first += len(part.faces)
        material, _ = UsdShade.MaterialBindingAPI(subset.GetPrim()).ComputeBoundMaterial()
        assert material.GetPrim().GetName() == part.material.name.replace(" ", "_")
        shader = material.ComputeSurfaceSource()[0]
        assert shader.GetIdAttr().Get() == "UsdPreviewSurface"
        assert shader.GetInput("roughness").Get() == pytest.approx(part.material.roughness)
        if part.material.base_color_texture is None:
            assert shader.GetInput("diffuseColor").Get() == pytest.approx(part.material.base_color[:3])
        else:
            image = UsdShade.Shader(shader.GetInput("diffuseColor").GetConnectedSources()[0][0].source)
            texture = image.GetInput("file").Get()
            assert Path(texture.resolvedPath).read_bytes() == part.material.base_color_texture.data


def test_a_package_holds_its_textures_and_nothing_lies_beside_it(separate, tmp_path):
    export_sequence(
        separate.sequence, tmp_path / "run.usdz", separate.source, options=ExportOptions(blender_script=False)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["run.usdz"]
    assert sorted(zipfile.ZipFile(tmp_path / "run.usdz").namelist()) == ["run.usdc", "run_texture0.png"]


def test_z_up_is_marked_and_x_up_is_refused(separate, tmp_path):
    options = ExportOptions(up_axis="z")
    export_sequence(separate.sequence, tmp_path / "run.usdc", separate.source, options=options)
    stage, mesh = open_mesh(tmp_path / "run.usdc")
    assert UsdGeom.GetStageUpAxis(stage) == "Z"
    x, y, z = separate.positions[3].T
    np.testing.assert_allclose(np.array(mesh.GetPointsAttr().Get(3)), np.stack([x, -z, y], -1), atol=1e-6)
    with pytest.raises(ExportError, match="choose y or z"):
        export_sequence(separate.sequence, tmp_path / "x.usdc", separate.source, options=ExportOptions(up_axis="x"))


def test_long_text_is_written_by_a_process_that_ctrl_c_ends(separate, tmp_path, monkeypatch):
    export_sequence(separate.sequence, tmp_path / "short.usda", separate.source)
    monkeypatch.setattr(usd_writer, "LONG_TEXT", 0)
    export_sequence(separate.sequence, tmp_path / "long.usda", separate.source)
    opened = [open_mesh(tmp_path / f"{name}.usda") for name in ("short", "long")]
    short, long = (np.array(mesh.GetPointsAttr().Get(2)) for _, mesh in opened)
    np.testing.assert_array_equal(short, long)
    assert not list(tmp_path.glob("*.usdc"))


SLOW_USD = """#!{python}
import sys, time
open(sys.argv[-1], "w").write("half")
time.sleep(600)
"""
INTERRUPTED = """
import sys
from core.cli import main
from core.io.usd import usd_writer
usd_writer.LONG_TEXT = 0
usd_writer.sys = type("sys", (), dict(executable=sys.argv[1]))  # its child never ends by itself
sys.exit(main(["export", sys.argv[2], sys.argv[3]]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is not sent to another process there")
def test_ctrl_c_ends_the_command_while_usd_writes_and_leaves_nothing(separate, tmp_path):
    export_sequence(separate.sequence, tmp_path / "walk.npz")
    python, out = tmp_path / "slow_python", tmp_path / "out"
    python.write_text(SLOW_USD.format(python=sys.executable))
    python.chmod(0o755)
    command = [sys.executable, "-c", INTERRUPTED, python, tmp_path / "walk.npz", out / "walk.usda"]
    environment = {**os.environ, "PYTHONPATH": search_path(), "M2V_CONFIG_DIR": str(tmp_path / "config")}
    # Its own group, as a terminal's: Ctrl-C reaches all of it.
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not list(out.glob("*/walk.usda")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and "nothing is left half-written" in said
    assert not list(out.iterdir()) and not list((tmp_path / "config" / "exports").iterdir())
