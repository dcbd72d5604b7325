"""Every format in the real Blender, in one run of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from core.io.export import export_sequence
from core.io.export_clip import ExportOptions
from core.io.export_formats import FORMATS
from tests.io.blender import blender_python

PYTHON = blender_python()

SUFFIXES = [suffix for suffix in FORMATS if suffix != ".npz"]
# A fractional rate, a cut range, and the axes that not every format has.
VARIANTS = {
    "plain": ({}, SUFFIXES),
    "film": ({"fps": 23.976, "start": 1, "scale": 10.0}, SUFFIXES),
    "z-up": ({"up_axis": "z"}, [suffix for suffix in SUFFIXES if suffix != ".glb"]),
    "x-up": ({"up_axis": "x"}, [".pc2", ".mdd", ".obj", ".ply"]),
    "still": ({"start": 2, "end": 2}, SUFFIXES),
}
KEYS = [
    (layout, variant, suffix)
    for layout in ("separate", "shared")
    for variant, (_, suffixes) in VARIANTS.items()
    for suffix in suffixes
]


@pytest.fixture(scope="module")
def shown(cases, tmp_path_factory):
    """What Blender shows of every export: {(layout, variant, suffix): arrays}; one Blender for all of them."""
    folder = tmp_path_factory.mktemp("blender")
    jobs = []
    for layout, variant, suffix in KEYS:
        case, place = cases[layout], folder / f"{layout}-{variant}"
        options = ExportOptions(**VARIANTS[variant][0])
        paths = export_sequence(case.sequence, place / f"run{suffix}", case.source, options=options)
        script = next(path for path in paths if path.name == f"import_run_{suffix[1:]}.py")
        jobs.append({"script": str(script), "out": str(place / f"shown{suffix}.npz")})
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [PYTHON, str(Path(__file__).with_name("blender_dump.py")), str(folder / "jobs.json")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    arrays = {key: dict(np.load(job["out"])) for key, job in zip(KEYS, jobs, strict=True)}
    return arrays


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_blender_shows_the_export(shown, cases, key):
    layout, variant, suffix = key
    case, found = cases[layout], shown[key]
    options = ExportOptions(**VARIANTS[variant][0])
    last = case.sequence.frames if options.end is None else options.end + 1
    positions = options.scale * case.positions[options.start : last].astype(np.float64)
    upright = np.stack([positions[..., 0], -positions[..., 2], positions[..., 1]], -1)  # Blender has Z up
    assert found["frames"].shape == upright.shape  # the file's own vertices: as many, and below in its order
    np.testing.assert_allclose(found["frames"], upright, atol=1e-5 * options.scale)
    assert found["fps"] == pytest.approx(case.sequence.fps if options.fps is None else options.fps, rel=1e-6)

    faces = np.concatenate([part.faces for part in case.source.parts])
    np.testing.assert_array_equal(found["corners"], faces)
    uv = found["uv"].reshape(-1, 3, 2)
    if suffix == ".ply":
        np.testing.assert_allclose(uv, case.source.uv[faces], atol=1e-6)
        assert len(found["materials"]) == 0
        return
    np.testing.assert_allclose(uv, case.corner_uv, atol=1e-6)
    names = [part.material.name for part in case.source.parts]
    shown_names = [str(found["materials"][index]) for index in found["face_material"]]
    wanted = [name for name, part in zip(names, case.source.parts, strict=True) for _ in part.faces]
    assert len(found["materials"]) == len(set(names))
    assert [name.replace(" ", "_") for name in shown_names] == [name.replace(" ", "_") for name in wanted]
    assert found["textures_loaded"].all() and len(found["textures_loaded"]) == 1


def test_the_variants_differ(shown):
    """A comparison with a frozen first frame would pass for a mesh that does not move."""
    frames = shown["shared", "plain", ".glb"]["frames"]
    assert np.abs(np.diff(frames, axis=0)).max(axis=(1, 2)).min() > 0.05
