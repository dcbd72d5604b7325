"""Truncated, damaged and hostile files: one clear sentence, or a clip that is still sound; nothing else ever."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.data.readers import reader
from core.errors import DataError, MeshError
from tests.data import layouts
from tests.data.layouts import Moving

SMALL = Moving(3, rings=4, sectors=5)
FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FUZZ_SLOW = settings(FUZZ, max_examples=15)


def complaint(format_name: str, source: Path) -> str:
    """The one sentence that reading the first clip gives."""
    with pytest.raises((DataError, MeshError)) as caught:
        listing = reader(format_name).list_clips(source)
        if listing.skipped:
            raise DataError(listing.skipped[0][1])
        reader(format_name).read_clip(listing.entries[0], 50)
    said = str(caught.value)
    assert said.endswith((".", "]'")) and "\n" not in said and len(said) < 500
    return said


def read_or_complain(format_name: str, source: Path) -> None:
    try:
        for entry in reader(format_name).list_clips(source).entries:
            clip = reader(format_name).read_clip(entry, 50)
            assert np.isfinite(clip.tracks).all() and len(clip.tracks) >= 2
            assert clip.faces is None or (clip.faces.min() >= 0 and clip.faces.max() < clip.tracks.shape[1])
    except (DataError, MeshError) as error:
        assert len(str(error)) > 20 and "\n" not in str(error)


def damaged(data: bytes, cut: float, flips: list[tuple[float, int]]) -> bytes:
    result = bytearray(data[: max(1, int(cut * len(data)))])
    for place, value in flips:
        result[min(int(place * len(result)), len(result) - 1)] = value
    return bytes(result)


CUT = st.one_of(st.just(1.0), st.floats(0, 1))
FLIPS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6)


# ---------------------------------------------------------------------- .anime


@pytest.mark.parametrize(
    ("head", "word"),
    [((2**31 - 1,) * 3, "impossible"), ((-1, 10, 10), "impossible"), ((3, 2_000_000, 2**31 - 1), "implies"),
     ((2_000_000_000, 1_000_000, 1), "implies"), ((3, 17, 29), "implies"), ((0, 0, 0), "impossible")],
)  # fmt: skip
def test_anime_heads_that_lie(tmp_path: Path, head: tuple[int, int, int], word: str) -> None:
    """Refused from the head and the file's size, before anything of the claimed size is allocated."""
    data = layouts.anime_bytes(SMALL)
    (tmp_path / "a_b.anime").write_bytes(struct.pack("<3i", *head) + data[12:])
    assert word in complaint("anime", tmp_path)


def test_anime_cut_short_or_with_too_much(tmp_path: Path) -> None:
    data = layouts.anime_bytes(SMALL)
    path = tmp_path / "a_b.anime"
    for wrong in (data[:-1], data + b"\0", data[:7], b""):
        path.write_bytes(wrong)
        assert str(path) in complaint("anime", tmp_path)


def test_anime_with_impossible_values(tmp_path: Path) -> None:
    data = bytearray(layouts.anime_bytes(SMALL))
    path = tmp_path / "a_b.anime"
    path.write_bytes(bytes(data[:12]) + struct.pack("<f", np.nan) + bytes(data[16:]))
    assert "finite" in complaint("anime", tmp_path)
    first_face = 12 + 12 * SMALL.vertices.shape[1]
    path.write_bytes(bytes(data[:first_face]) + struct.pack("<i", 10**6) + bytes(data[first_face + 4 :]))
    assert "outside" in complaint("anime", tmp_path)
    one = struct.pack("<3i", 1, *struct.unpack("<2i", data[4:12])) + bytes(
        data[12 : first_face + 12 * len(SMALL.faces)]
    )
    path.write_bytes(one)
    assert "1 frame" in complaint("anime", tmp_path)


@FUZZ
@given(cut=CUT, flips=FLIPS)
def test_any_anime(tmp_path: Path, cut: float, flips: list[tuple[float, int]]) -> None:
    (tmp_path / "a_b.anime").write_bytes(damaged(layouts.anime_bytes(SMALL), cut, flips))
    read_or_complain("anime", tmp_path)


# ---------------------------------------------------------------------- HDF5


@FUZZ_SLOW
@given(cut=CUT, flips=FLIPS)
def test_any_hdf5(tmp_path: Path, cut: float, flips: list[tuple[float, int]]) -> None:
    path = tmp_path / "registrations_f.hdf5"
    whole = tmp_path / "whole.bin"
    if not whole.exists():
        whole.write_bytes(layouts.write_dfaust(tmp_path / "registrations_f.hdf5", {"1_a": SMALL}).read_bytes())
    path.write_bytes(damaged(whole.read_bytes(), cut, flips))
    read_or_complain("dfaust", tmp_path)


def test_hdf5_that_reaches_outside_or_claims_too_much(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "registrations_m.hdf5"
    layouts.write_dfaust(path, {"1_a": SMALL})
    layouts.write_dfaust(tmp_path / "other.bin", {"9_z": SMALL})
    with h5py.File(path, "a") as file:
        file["0_link"] = h5py.ExternalLink(str(tmp_path / "other.bin"), "/9_z")
    assert "of its own" in complaint("dfaust", tmp_path)
    with h5py.File(path, "a") as file:
        del file["0_link"]
        file.create_dataset("0_huge", shape=(10**6, 3, 10**6), dtype="f4", chunks=(1000, 3, 100))  # nothing is stored
    assert "claims" in complaint("dfaust", tmp_path)
    with h5py.File(path, "w") as file:
        file["faces"] = SMALL.faces
        file["1_a"] = SMALL.vertices  # frames first, as nobody stores it
    assert "shape" in complaint("dfaust", tmp_path) or "frames" in complaint("dfaust", tmp_path)
    with h5py.File(path, "w") as file:
        file["1_a"] = SMALL.vertices
    assert "'faces'" in complaint("dfaust", tmp_path)


# ---------------------------------------------------------------------- NumPy layouts


@FUZZ
@given(cut=CUT, flips=FLIPS)
def test_any_npz_sequence(tmp_path: Path, cut: float, flips: list[tuple[float, int]]) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, vertices=SMALL.vertices, faces=SMALL.faces, fps=np.float64(24))
    path.write_bytes(damaged(path.read_bytes(), cut, flips))
    read_or_complain("npz", tmp_path)


@pytest.mark.parametrize(
    ("change", "word"),
    [({"vertices": SMALL.vertices[..., :2]}, "shape"), ({"fps": np.float64(0)}, "frames per second"),
     ({"fps": np.array(["24"])}, "fps"), ({"faces": SMALL.faces.astype(float)}, "faces"),
     ({"vertices": np.zeros((3, 17, 3))}, "no size"), ({"vertices": SMALL.vertices * np.float32(1e30)}, "finite"),
     ({"faces": -SMALL.faces}, "outside"), ({"vertices": np.array([object()])}, "damaged")],
)  # fmt: skip
def test_npz_sequences_with_impossible_arrays(tmp_path: Path, change: dict[str, np.ndarray], word: str) -> None:
    """An object array would must be unpickled, which never happens."""
    arrays = {"vertices": SMALL.vertices, "faces": SMALL.faces, "fps": np.float64(24), **change}
    np.savez(tmp_path / "a.npz", **arrays)
    assert word in complaint("npz", tmp_path)


def test_archives_that_unpack_to_more_than_a_clip(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, vertices=SMALL.vertices, faces=SMALL.faces, fps=np.float64(24))
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 0xFFFFFFF0)  # claimed size of one member: 4 GB
    for member in (data.index(b"PK\x01\x02"), data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)):
        data[member + 24 : member + 28] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(bytes(data))
    with zipfile.ZipFile(path) as archive:
        assert sum(member.file_size for member in archive.infolist()) > 8 << 30
    assert "unpacks to more" in complaint("npz", tmp_path)


def test_oflow_files_with_impossible_arrays(tmp_path: Path) -> None:
    folder = tmp_path / "1_a"
    layouts.write_oflow(folder, SMALL, count=100, queries=200)
    path = folder / "pcl_seq" / "00000001.npz"
    good = dict(np.load(path))
    for change, word in [
        ({"points": good["points"][:50]}, "50 tracked points"),
        ({"scale": np.float32(0)}, "positive"),
        ({"scale": np.float32(np.nan)}, "positive"),
        ({"loc": np.zeros(2)}, "loc and scale"),
        ({"points": np.zeros((0, 3))}, "shape"),
    ]:
        np.savez(path, **{**good, **change})
        assert word in complaint("oflow", tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    assert "damaged" in complaint("oflow", tmp_path)
    np.savez(path, **good)
    labels = folder / "points_seq" / "00000000.npz"
    np.savez(labels, **{**dict(np.load(labels)), "occupancies": np.zeros(3, np.uint8)})
    assert "packed labels" in complaint("oflow", tmp_path)
    for file in (folder / "pcl_seq").iterdir():
        file.unlink()
    assert "no .npz files" in complaint("oflow", tmp_path)


def test_cadex_with_a_frame_or_chunk_missing(tmp_path: Path) -> None:
    folder = tmp_path / "bear_walk"
    layouts.write_cadex(folder, SMALL, queries=100)
    (folder / "corr" / "1_1.npz").rename(folder / "spare")
    assert "different chunks" in complaint("cadex", tmp_path)
    (folder / "corr" / "1_0.npz").unlink()
    assert "lacks frame 1" in complaint("cadex", tmp_path)


def test_shape2motion_with_arrays_that_cannot_be_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "door" / "1art"
    layouts.write_shape2motion(folder, SMALL, queries=100)
    np.savez(folder / "corr" / "1.npz", a=np.zeros((5, 3)), b=np.zeros((5, 3)))
    assert "2 arrays of points" in complaint("shape2motion", tmp_path)
    layouts.write_shape2motion(tmp_path / "oven" / "1art", SMALL, queries=100)
    (tmp_path / "oven" / "1art" / "implicit" / "2.npz").unlink()
    assert "2 in implicit" in complaint("shape2motion", tmp_path / "oven")
    np.savez(tmp_path / "oven" / "1art" / "implicit" / "2.npz", uni_xyz=np.zeros((5, 3)))
    np.savez(tmp_path / "oven" / "1art" / "implicit" / "0.npz", uni_xyz=np.zeros((5, 3)))
    assert "no occupancy" in complaint("shape2motion", tmp_path / "oven")


# ---------------------------------------------------------------------- mesh files


def test_frames_of_another_mesh_are_said(tmp_path: Path) -> None:
    folder = layouts.write_meshes(tmp_path / "clip", Moving(3))
    (folder / "frame_9.obj").write_text(layouts.obj_text(SMALL.vertices[0], SMALL.faces))
    assert "frame_9.obj" in complaint("meshes", tmp_path)
    (folder / "frame_9.obj").write_text("v 1 2")
    assert "frame_9.obj" in complaint("meshes", tmp_path)


@FUZZ_SLOW
@given(cut=CUT, flips=FLIPS)
def test_any_ply_frame(tmp_path: Path, cut: float, flips: list[tuple[float, int]]) -> None:
    folder = tmp_path / "clip"
    if not folder.exists():
        layouts.write_meshes(folder, SMALL, "ply")
    (folder / "frame_9.ply").write_bytes(damaged(layouts.ply_bytes(SMALL.vertices[1], SMALL.faces), cut, flips))
    read_or_complain("meshes", tmp_path)


# ---------------------------------------------------------------------- USD


@FUZZ_SLOW
@given(cut=CUT, flips=FLIPS)
def test_any_usda(tmp_path: Path, cut: float, flips: list[tuple[float, int]]) -> None:
    text = layouts.usda_text(SMALL).encode()
    for old in tmp_path.glob("*.usda"):
        old.unlink()
    # A new name each time: USD keeps opened layers by name.
    (tmp_path / f"clip{abs(hash((cut, tuple(flips))))}.usda").write_bytes(damaged(text, cut, flips))
    read_or_complain("usd", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [("points.timeSamples", "velocities.timeSamples", "no time-sampled"),
     ("int[] faceVertexCounts = [3,", "int[] faceVertexCounts = [4,", "face counts"),
     ("faceVertexIndices = [15,", "faceVertexIndices = [99,", "does not exist"),
     ("def Mesh", "def Points", "no mesh"),
     ("int[] faceVertexIndices = [", "int[] faceVertexIndices.timeSamples = { 0: [0], 1: [1] }\n int[] other = [",
      "change over time"),
     ("#usda 1.0", "#nothing", "damaged"), ("timeCodesPerSecond = 30", "timeCodesPerSecond = 0", "frames per second")],
)  # fmt: skip
def test_usd_caches_that_cannot_be_used(tmp_path: Path, old: str, new: str, word: str) -> None:
    text = layouts.usda_text(SMALL)
    assert old in text
    (tmp_path / "clip.usda").write_text(text.replace(old, new, 1))
    assert word in complaint("usd", tmp_path)


def test_usd_points_that_change_their_number(tmp_path: Path) -> None:
    text = layouts.usda_text(SMALL).replace("1: [(", "1: [(9, 9, 9), (", 1)
    (tmp_path / "clip.usda").write_text(text)
    assert "number of points" in complaint("usd", tmp_path)
