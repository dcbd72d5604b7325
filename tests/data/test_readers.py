"""Every layout is read as it was written by an independent writer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.data.clips import SPLITS
from core.data.data_sets import DATA_SETS
from core.data.readers import ClipEntry, TrackedClip, reader
from core.data.splits import STORED_SPLITS, drawn_splits, published_splits, rule_split
from core.errors import DataError, MeshError
from tests.data import layouts
from tests.data.layouts import Moving
from tests.glb_writer import arm


def only_clip(format_name: str, source: Path, points: int = 100) -> tuple[ClipEntry, TrackedClip]:
    entries = reader(format_name).list_clips(source).entries
    assert len(entries) == 1
    return entries[0], reader(format_name).read_clip(entries[0], points)


def rows_of(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """For points [N, 3] where each lies in [M, 3]."""
    distance = np.linalg.norm(part[:, None] - whole[None], axis=-1)
    assert distance.min(1).max() < 1e-4
    return distance.argmin(1)


def test_anime(tmp_path: Path) -> None:
    moving = Moving()
    layouts.write_anime(tmp_path, "bear3EP_Agression", moving)
    entry, clip = only_clip("anime", tmp_path)
    assert (entry.identity, entry.motion, entry.category) == ("bear3EP", "Agression", "animals")
    assert entry.name == "animals/bear3EP_Agression/bear3EP_Agression"
    assert np.allclose(clip.tracks, moving.vertices, atol=1e-6)
    assert np.array_equal(clip.faces, moving.faces) and (clip.fps, clip.up_axis) == (24.0, "z")


def test_dfaust(tmp_path: Path) -> None:
    women = {"50004_hips": Moving(5), "50021_running_on_spot": Moving(7, seed=1)}
    layouts.write_dfaust(tmp_path / "registrations_f.hdf5", women)
    layouts.write_dfaust(tmp_path / "registrations_m.hdf5", {"50002_chicken_wings": Moving(4)})
    listing = reader("dfaust").list_clips(tmp_path)
    assert [(e.name, e.identity, e.motion, e.category) for e in listing.entries] == [
        ("50004_hips", "50004", "hips", "women"),
        ("50021_running_on_spot", "50021", "running_on_spot", "women"),
        ("50002_chicken_wings", "50002", "chicken_wings", "men"),
    ]
    clip = reader("dfaust").read_clip(listing.entries[1], 100)
    assert np.array_equal(clip.tracks, women["50021_running_on_spot"].vertices)
    assert np.array_equal(clip.faces, women["50004_hips"].faces) and clip.fps == 60.0


@pytest.mark.parametrize("chunks", [0, 3])
def test_oflow(tmp_path: Path, chunks: int) -> None:
    """Every frame is mapped by its own loc and scale, which differ between the frames and between the two folders."""
    moving = Moving()
    tracks = layouts.write_oflow(tmp_path / "D-FAUST" / "50002_chicken_wings", moving, chunks)
    entry, clip = only_clip("oflow", tmp_path)
    assert (entry.identity, entry.motion, entry.category) == ("50002", "chicken_wings", "D-FAUST")
    assert clip.faces is None and clip.tracks.shape == (6, 100, 3)
    rows = rows_of(clip.tracks[0], tracks[0])
    assert np.allclose(clip.tracks, tracks[:, rows], atol=1e-6)
    for given in clip.queries:
        truth = moving.inside(given.uniform, given.frame)
        assert (given.uniform_inside == truth).mean() > 0.999 and 0.05 < truth.mean() < 0.5
    assert [given.frame for given in clip.queries] == [0, 1, 2, 3]


def test_cadex(tmp_path: Path) -> None:
    moving = Moving(12)  # frames 10 and 11 come after 9, not after 1
    tracks = layouts.write_cadex(tmp_path / "bear3EP_Agression", moving)
    entry, clip = only_clip("cadex", tmp_path)
    assert (entry.identity, entry.motion) == ("bear3EP", "Agression")
    rows = rows_of(clip.tracks[0], tracks[0])
    assert np.allclose(clip.tracks, tracks[:, rows], atol=1e-6)
    for given in clip.queries:
        assert np.array_equal(given.uniform_inside, moving.inside(given.uniform, given.frame))
        assert np.array_equal(given.near_inside, moving.inside(given.near, given.frame))
    assert len(clip.queries) == 6 and clip.queries[0].near.shape == (2400, 3)


def test_shape2motion(tmp_path: Path) -> None:
    moving = Moving(11)
    tracks = layouts.write_shape2motion(tmp_path / "laptop" / "0012art", moving)
    layouts.write_shape2motion(tmp_path / "laptop" / "0007art", moving)
    (tmp_path / "laptop" / "train.json").write_text(json.dumps(["0007art"]))
    (tmp_path / "laptop" / "test.json").write_text(json.dumps(["0012"]))
    entries = reader("shape2motion").list_clips(tmp_path).entries
    assert [(e.identity, e.category, e.split) for e in entries] == [
        ("laptop/0007", "laptop", "train"),
        ("laptop/0012", "laptop", "unseen_identity"),
    ]
    clip = reader("shape2motion").read_clip(entries[1], 100)
    assert np.allclose(clip.tracks, tracks[:, rows_of(clip.tracks[0], tracks[0])], atol=1e-6)
    for given in clip.queries:
        assert np.array_equal(given.uniform_inside, moving.inside(given.uniform, given.frame))
        assert np.array_equal(given.near_inside, moving.inside(given.near, given.frame))


def test_shape2motion_with_values_beside_the_points(tmp_path: Path) -> None:
    moving = Moving(3)
    folder = tmp_path / "door" / "1art"
    layouts.write_shape2motion(folder, moving)
    for t in range(3):
        places = (np.random.default_rng(t).random((500, 3)) - 0.5).astype(np.float32)
        signed = np.where(moving.inside(places, t), -1.0, 1.0).astype(np.float32)
        np.save(folder / "implicit" / f"{t}.npy", np.concatenate([places, signed[:, None]], 1))
        (folder / "implicit" / f"{t}.npz").unlink()
    _, clip = only_clip("shape2motion", tmp_path)
    assert all(np.array_equal(q.uniform_inside, moving.inside(q.uniform, q.frame)) for q in clip.queries)


@pytest.mark.parametrize("kind", ["obj", "ply"])
def test_mesh_folders(tmp_path: Path, kind: str) -> None:
    moving = Moving()
    layouts.write_meshes(tmp_path / "cats" / "tom" / "walk", moving, kind)
    (tmp_path / "cats" / "tom" / "walk" / "notes.txt").write_text("not a frame")
    entry, clip = only_clip("meshes", tmp_path)
    assert (entry.identity, entry.motion, entry.category) == ("cats/tom", "walk", "cats")
    assert np.allclose(clip.tracks, moving.vertices, atol=1e-5) and np.array_equal(clip.faces, moving.faces)
    one, _ = only_clip("meshes", tmp_path / "cats" / "tom" / "walk")
    assert one.identity == "walk"


def test_mesh_folders_whose_vertices_meet_for_a_moment(tmp_path: Path) -> None:
    """Welding would number the vertices of that frame differently; the file's own order is what counts."""
    moving = Moving(4)
    moving.vertices[2, 5] = moving.vertices[2, 6]
    layouts.write_meshes(tmp_path / "clip", moving)
    _, clip = only_clip("meshes", tmp_path)
    assert np.allclose(clip.tracks, moving.vertices, atol=1e-5)


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usdz"])
def test_usd_caches(tmp_path: Path, suffix: str) -> None:
    from pxr import Usd

    moving = Moving()
    text = tmp_path / "horse.usda"
    text.write_text(layouts.usda_text(moving, step=2.0))
    if suffix == ".usdc":
        Usd.Stage.Open(str(text)).Export(str(tmp_path / "horse.usdc"))
        text.unlink()
    if suffix == ".usdz":
        from pxr import Sdf, UsdUtils

        assert UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(text)), str(tmp_path / "horse.usdz"))
        text.unlink()
    entry, clip = only_clip("usd", tmp_path)
    assert (entry.name, entry.identity) == ("horse", "horse")
    assert np.allclose(clip.tracks, moving.vertices + np.array([1, 2, 3]), atol=1e-5)
    assert np.array_equal(clip.faces, moving.faces) and (clip.fps, clip.up_axis) == (15.0, "z")


def test_usd_with_moving_transforms_polygons_and_hidden_meshes(tmp_path: Path) -> None:
    cube = "[(0,0,0), (1,0,0), (1,1,0), (0,1,0), (0,0,1), (1,0,1), (1,1,1), (0,1,1)]"
    mesh = f"""
        int[] faceVertexCounts = [4, 4, 4, 4, 4, 4]
        int[] faceVertexIndices = [0, 3, 2, 1, 4, 5, 6, 7, 0, 1, 5, 4, 1, 2, 6, 5, 2, 3, 7, 6, 3, 0, 4, 7]
        point3f[] points = {cube}"""
    (tmp_path / "box.usda").write_text(f"""#usda 1.0
(timeCodesPerSecond = 24)
def Xform "root" {{
    double3 xformOp:translate.timeSamples = {{
        1: (0, 0, 0), 2: (0, 1, 0), 3: (0, 4, 0)
    }}
    uniform token[] xformOpOrder = ["xformOp:translate"]
    def Mesh "a" {{ {mesh}
    }}
    def Mesh "b" {{ {mesh}
        uniform token orientation = "leftHanded"
    }}
    def Mesh "hidden" {{ {mesh}
        token visibility = "invisible"
    }}
}}""")
    _, clip = only_clip("usd", tmp_path)
    assert clip.tracks.shape == (3, 16, 3) and clip.faces is not None and len(clip.faces) == 24
    assert np.allclose(clip.tracks[:, :, 1] - clip.tracks[:1, :, 1], np.array([0, 1, 4])[:, None])
    a, b, c = (clip.tracks[0][clip.faces[:, corner]] for corner in range(3))
    volumes = np.einsum("fi,fi->f", a, np.cross(b, c)) / 6
    assert np.isclose(volumes[:12].sum(), 1) and np.isclose(volumes[12:].sum(), -1)


def test_npz_sequences(tmp_path: Path) -> None:
    moving = Moving()
    (tmp_path / "fox").mkdir()
    np.savez(tmp_path / "fox" / "walk-seed3.npz", vertices=moving.vertices, faces=moving.faces, fps=np.float64(12))
    entry, clip = only_clip("npz", tmp_path)
    assert (entry.name, entry.identity, entry.motion) == ("fox/walk-seed3", "fox", "walk")
    assert np.array_equal(clip.tracks, moving.vertices) and np.array_equal(clip.faces, moving.faces) and clip.fps == 12


def test_rigs(tmp_path: Path) -> None:
    (tmp_path / "animals").mkdir()
    arm(5).save(tmp_path / "animals" / "Crane.glb")
    (tmp_path / "animals" / "Broken.glb").write_bytes(b"glTF broken")
    listing = reader("rigs").list_clips(tmp_path)
    assert [entry.split for entry in listing.entries] == ["train"] * 3 + ["unseen_motion", "train"]
    assert [name for name, _ in listing.skipped] == ["Broken.glb"]
    clip = reader("rigs").read_clip(listing.entries[1], 10)
    assert clip.tracks.shape[0] == 49 and clip.fps == 24.0 and clip.faces is not None


@pytest.mark.parametrize("name", DATA_SETS)
def test_an_empty_or_missing_source_is_said(tmp_path: Path, name: str) -> None:
    for source in (tmp_path, tmp_path / "missing"):
        with pytest.raises((DataError, MeshError), match=str(tmp_path)) as caught:
            reader(name).list_clips(source)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(DataError, match="anime, dfaust"):
        reader("alembic")


def test_readers_need_no_torch() -> None:
    code = "import sys, core.data.readers, core.data.prepare; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]


# ---------------------------------------------------------------------- splits


def test_published_lists_of_dfaust(tmp_path: Path) -> None:
    lists = {
        "train": ["50002_hips"],
        "val": ["50004_hips"],
        "test": ["50002_knees"],
        "test_new_individual": ["50021_x"],
    }
    for name, items in lists.items():
        (tmp_path / f"{name}.lst").write_text("\n".join([*items, "", ""]))
    assert published_splits(tmp_path) == {
        "50002_hips": "train",
        "50004_hips": "validation",
        "50002_knees": "unseen_motion",
        "50021_x": "unseen_identity",
    }


def test_published_lists_of_deforming_things(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "train.json").write_text(json.dumps(["animals/bear3EP_Agression"]))
    (tmp_path / "index" / "test_us.json").write_text(json.dumps(["bear3EP_walk"]))
    (tmp_path / "index" / "bear_test_ui.json").write_text(json.dumps(["elk_run"]))
    (tmp_path / "index" / "withheld_views.json").write_text(json.dumps({"anything": 3}))
    assert published_splits(tmp_path) == {
        "bear3EP_Agression": "train",
        "bear3EP_walk": "unseen_motion",
        "elk_run": "unseen_identity",
    }


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"train": "a"}', "[" * 100_000, "\udcff"])
def test_a_damaged_list_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"train\.json"):
        published_splits(tmp_path)


def test_a_clip_in_two_splits_is_said(tmp_path: Path) -> None:
    (tmp_path / "train.lst").write_text("a\nb\n")
    (tmp_path / "test.lst").write_text("b\n")
    with pytest.raises(DataError, match="another list"):
        published_splits(tmp_path)


def test_the_rule_keeps_identities_and_motions_apart() -> None:
    pairs = [(f"animal{i}", f"motion{j}") for i in range(200) for j in range(20)]
    chosen = {pair: rule_split(*pair) for pair in pairs}
    unseen = {identity for (identity, _), split in chosen.items() if split == "unseen_identity"}
    assert all((chosen[pair] == "unseen_identity") == (pair[0] in unseen) for pair in pairs)
    assert 10 < len(unseen) < 32  # of 200, a tenth
    others = [split for (identity, _), split in chosen.items() if identity not in unseen]
    assert 0.08 < others.count("unseen_motion") / len(others) < 0.12
    assert rule_split("50021", "hips", ("50021",)) == "unseen_identity"


def test_whole_sets_for_training_and_testing() -> None:
    assert drawn_splits("own", "train") == ("train",)
    assert drawn_splits("train", "train") == STORED_SPLITS == drawn_splits("test", "unseen_identity")
    assert drawn_splits("train", "unseen_identity") == () == drawn_splits("test", "train")
    assert set(SPLITS) < set(STORED_SPLITS)
    with pytest.raises(DataError, match="choose own"):
        drawn_splits("all", "train")
