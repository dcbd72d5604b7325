"""Scan readers: every format, natural order, what is recognised, and the sentence for every kind of bad input."""

from __future__ import annotations

import json
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.errors import DataError
from core.io.arrays import SkippedError
from core.io.scans.cutting import Cut
from core.io.scans.measured import MAX_POINTS, measured_sequence
from core.io.scans.pcd import decompress_lzf
from core.io.scans.points import POINTS, parse_text_points
from core.io.scans.scan_kind import ReadingOptions, ScanKind, ScanLayout
from core.io.scans.scan_reader import read_scans
from core.sequence import ScanSequence


def cloud(seed: int = 0, count: int = 40) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


def moving(frames: int = 3, count: int = 40) -> NDArray[np.float32]:
    """Tracked points [T, N, 3] that drift and turn a little."""
    points = cloud(count=count)
    return np.stack([points + 0.05 * frame * points[:, [1, 2, 0]] for frame in range(frames)])


def ply(points: NDArray[np.float32]) -> bytes:
    heading = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n"
    return (heading + "property float x\nproperty float y\nproperty float z\nend_header\n").encode() + points.tobytes()


def text(points: NDArray, start: str = "") -> bytes:
    return "".join(f"{start}{x!r} {y!r} {z!r}\n" for x, y, z in points.astype(float).tolist()).encode()


def literal_lzf(data: bytes) -> bytes:
    return b"".join(bytes([len(data[at : at + 32]) - 1]) + data[at : at + 32] for at in range(0, len(data), 32))


def pcd(points: NDArray[np.float32], kind: str) -> bytes:
    heading = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS intensity x y z\nSIZE 2 4 4 4\nTYPE U F F F\nCOUNT 2 1 1 1\n"
        f"WIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA {kind}\n"
    ).encode()
    if kind == "ascii":
        return heading + text(points, "7 8 ")
    if kind == "binary":
        return heading + b"".join(struct.pack("<HH3f", 7, 8, *point) for point in points.tolist())
    columns = np.full((len(points), 2), 7, "<u2").tobytes() + points.T.astype("<f4").tobytes()
    packed = literal_lzf(columns)
    return heading + struct.pack("<II", len(packed), len(columns)) + packed


def check(scans: ScanSequence) -> None:
    assert scans.frames >= 1
    for points in scans.points:
        assert points.dtype == np.float32
        assert points.shape[1:] == (3,)
        assert np.isfinite(points).all()
        assert not points.flags.writeable
    if scans.modality in ("points", "depth"):
        assert all(np.ptp(points, axis=0).max() > 0 for points in scans.points)
    for note in scans.notes:
        assert note.endswith(".")
        assert "\n" not in note


def filled(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        ("ply", ply),
        ("obj", lambda points: b"# scan\n" + text(points, "v ") + b"vn 0 0 1\n"),
        ("xyz", text),
        ("pts", lambda points: f"{len(points)}\n".encode() + text(points).replace(b"\n", b" 255 0 0\n")),
        ("pcd", lambda points: pcd(points, "ascii")),
        ("pcd", lambda points: pcd(points, "binary")),
        ("pcd", lambda points: pcd(points, "binary_compressed")),
    ],
)  # fmt: skip
def test_frames_of_every_format_in_natural_order_under_any_name(tmp_path: Path, suffix: str, write) -> None:
    folder = tmp_path / "mein Scan 猫 ü"
    clouds = [cloud(frame, 30 + frame) for frame in range(12)]
    filled(folder, {f"Frame {frame}.{suffix}": write(points) for frame, points in enumerate(clouds)})
    scans = read_scans(folder)
    check(scans)
    assert [len(points) for points in scans.points] == [30 + frame for frame in range(12)]
    for read, points in zip(scans.points, clouds, strict=True):
        np.testing.assert_allclose(read, points, rtol=1e-6)
    assert (scans.modality, scans.tracked, scans.partial, scans.fps, scans.up_axis) == ("points", False, False, 24, "y")
    assert scans.notes == ()
    assert scans.path == str(folder)


def test_frames_of_arrays_and_one_array_of_all_frames(tmp_path: Path) -> None:
    points = moving(4)
    np.savez(tmp_path / "all.npz", points=points, time=np.arange(4))
    np.save(tmp_path / "all.npy", np.asfortranarray(points.astype(np.float64)))
    np.savez_compressed(tmp_path / "other name.npz", clicks=points)
    folder = tmp_path / "frames"
    folder.mkdir()
    for frame, each in enumerate(points):
        np.savez(folder / f"{frame}.npz", points=(each - 1) / 2, loc=np.ones(3), scale=np.array(2.0))
    for path in (tmp_path / "all.npz", tmp_path / "all.npy", tmp_path / "other name.npz", folder):
        scans = read_scans(path)
        check(scans)
        np.testing.assert_allclose(np.stack(scans.points), points, atol=1e-6)
        assert scans.tracked


def test_one_frame_and_five_hundred(tmp_path: Path) -> None:
    (tmp_path / "one.ply").write_bytes(ply(cloud()))
    assert read_scans(tmp_path / "one.ply").frames == 1
    np.save(tmp_path / "many.npy", moving(500, 10))
    assert read_scans(tmp_path / "many.npy").frames == 500


def test_tracked_is_seen_from_the_points_and_can_be_told(tmp_path: Path) -> None:
    points = moving(3)
    np.save(tmp_path / "tracked.npy", points)
    rng = np.random.default_rng(1)
    np.save(tmp_path / "shuffled.npy", np.stack([rng.permutation(frame) for frame in points]))
    assert read_scans(tmp_path / "tracked.npy").tracked
    assert not read_scans(tmp_path / "shuffled.npy").tracked
    assert not read_scans(tmp_path / "tracked.npy", tracked=False).tracked
    assert read_scans(tmp_path / "shuffled.npy", tracked=True).tracked


def test_points_that_are_not_numbers_are_dropped_and_tracks_stay_tracks(tmp_path: Path) -> None:
    points = moving(3)
    points[1, 5] = np.nan
    points[2, 6, 0] = np.inf
    np.save(tmp_path / "holes.npy", points)
    scans = read_scans(tmp_path / "holes.npy")
    check(scans)
    assert scans.tracked
    assert [len(frame) for frame in scans.points] == [38, 38, 38]
    np.testing.assert_array_equal(scans.points[2], np.delete(points[2], [5, 6], axis=0))
    assert "2 tracked points are not finite numbers in 2 frames" in scans.notes[0]
    loose = read_scans(tmp_path / "holes.npy", tracked=False)
    assert [len(frame) for frame in loose.points] == [40, 39, 39]


def test_unusable_frames_are_skipped_and_named(tmp_path: Path) -> None:
    files = {f"f{frame}.ply": ply(cloud(frame)) for frame in range(4)}
    files["f4.ply"] = ply(cloud()[:0])
    files["f5.ply"] = ply(cloud()[:1])
    files["f6.ply"] = ply(np.full((30, 3), 1.5, np.float32))
    files["f7.ply"] = ply(np.full((30, 3), np.nan, np.float32))
    files["f8.ply"] = ply(1000 * cloud())
    files["f9.ply"] = ply(cloud())[:-40]
    files["f10.ply"] = b""
    scans = read_scans(filled(tmp_path / "scan", files))
    check(scans)
    assert scans.frames == 4
    said = " ".join(scans.notes)
    for name, why in {
        "f4.ply": "has no points", "f5.ply": "has one point only", "f6.ply": "all its points at one place",
        "f7.ply": "no point with finite coordinates", "f8.ply": "times larger than most frames",
        "f9.ply": "ends within", "f10.ply": "is empty",
    }.items():  # fmt: skip
        assert any(name in note and why in note for note in scans.notes), (name, said)
    assert "1 of 11 frames skipped" in said


def test_of_two_frames_of_different_units_the_first_counts(tmp_path: Path) -> None:
    for first, second in ((1.0, 1000.0), (1000.0, 1.0)):
        files = {"a.xyz": text(cloud() * first), "b.xyz": text(cloud() * second)}
        scans = read_scans(filled(tmp_path / "scan", files))
        np.testing.assert_allclose(scans.points[0], cloud() * first, rtol=1e-5)
        assert "b.xyz" in scans.notes[0]


def test_mixed_formats_use_the_most_frequent_and_name_the_rest(tmp_path: Path) -> None:
    files = {f"f{frame}.ply": ply(cloud(frame)) for frame in range(3)}
    picture = tmp_path / "p.png"
    Image.new("RGB", (8, 6)).save(picture)
    files |= {"f3.xyz": text(cloud()), "f4.png": picture.read_bytes(), "README.txt": b"hello", ".hidden": b""}
    folder = filled(tmp_path / "scan", files)
    scans = read_scans(folder)
    assert (scans.frames, scans.modality) == (3, "points")
    assert "f3.xyz, f4.png, README.txt were skipped" in scans.notes[0]
    assert read_scans(folder, modality="images").frames == 1


def test_large_frames_are_thinned_out(tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", cloud(count=MAX_POINTS + 10))
    scans = read_scans(tmp_path / "large.npy", cut=Cut(cleaned=False))
    assert len(scans.points[0]) == MAX_POINTS
    assert "1 frame has 20,010 points" in scans.notes[0]


def test_scans_that_stand_on_z_are_z_up(tmp_path: Path) -> None:
    points = np.abs(cloud()) * [1, 1, 3] - [1, 1, 0]
    points[0, 2] = 0
    np.save(tmp_path / "tower.npy", points)
    scans = read_scans(tmp_path / "tower.npy")
    assert scans.up_axis == "z"
    assert "up axis" in scans.notes[-1]
    assert read_scans(tmp_path / "tower.npy", up_axis="y").up_axis == "y"


def test_lzf_repeats_reach_back_and_into_themselves() -> None:
    # "abc", then 4 bytes from 3 back, then 20 bytes from 1 back
    packed = bytes([2]) + b"abc" + bytes([2 << 5, 2]) + bytes([7 << 5, 20 - 9, 0])
    assert decompress_lzf(packed, 27) == b"abc" + b"abca" + b"a" * 20
    for damaged in (packed[:-1], packed[:3], bytes([2 << 5, 9]), packed + b"\x00z"):
        with pytest.raises(SkippedError):
            decompress_lzf(damaged, 27)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.ply", b"", "is empty"),
        ("song.mp3", b"ID3", "not a scan that can be read"),
        ("lie.ply", ply(cloud())[:60].replace(b" 40\n", b" 4000000000\n"), "lie.ply"),
        ("lie.pcd", pcd(cloud(), "binary").replace(b"POINTS 40", b"POINTS 99999999999"), "declares 99,999,999,999"),
        ("lie2.pcd", pcd(cloud(), "ascii").replace(b"POINTS 40", b"POINTS 99999999999"), "declares 99,999,999,999"),
        ("lie3.pcd", pcd(cloud(), "binary_compressed").replace(b"POINTS 40", b"POINTS 99999999"), "declares 99"),
        ("fields.pcd", pcd(cloud(), "ascii").replace(b"SIZE 2 4", b"SIZE 2"), "do not agree"),
        ("none.pcd", b"VERSION 0.7\n", "header is cut short"),
        ("word.xyz", b"1 2 3\na b c\n4 5 6\n", "line 2"),
        ("binary.xyz", b"\x00\x01", "binary data"),
        ("nothing.obj", b"# nothing\n", "has no points"),
        ("cut.npz", b"PK\x03\x04", "damaged or cut short"),
        ("cut.npy", b"\x93NUMPY\x01\x00", "damaged or cut short"),
        ("short.png", b"\x89PNG\r\n\x1a\n", "damaged or cut short"),
        ("short.jpg", b"\xff\xd8\xff", "damaged or cut short"),
        ("text.binvox", b"hello", "not a binvox file"),
    ],
)  # fmt: skip
def test_bad_files_get_one_sentence(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_scans(tmp_path / name)
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arrays_whose_heading_lies_take_no_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "honest.npy", cloud())
    data = (tmp_path / "honest.npy").read_bytes().replace(b"(40, 3), ", b"(4000000000, 3), ").replace(b" " * 8, b"", 1)
    (tmp_path / "lie.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "lie.npz", "w") as archive:
        archive.writestr("points.npy", data)
    for name in ("lie.npy", "lie.npz"):
        with pytest.raises(DataError, match=r"4000000000 x 3, more than it holds|damaged"):
            read_scans(tmp_path / name)


def test_pickled_objects_are_never_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="never opened"):
        read_scans(tmp_path / "objects.npy")


def test_bad_folders_and_arguments_get_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outer = filled(tmp_path / "outer", {"README.md": b"hello"})
    (outer / "frames").mkdir()
    good = filled(tmp_path / "good", {"a.ply": ply(cloud()), "b.ply": ply(cloud(count=9))})
    hopeless = filled(tmp_path / "hopeless", {"a.ply": b"", "b.ply": ply(cloud()[:1])})
    np.savez(tmp_path / "two.npz", a=cloud(), b=cloud())
    for call, words in [
        (lambda: read_scans(tmp_path / "gone"), "does not exist"),
        (lambda: read_scans("a\0b"), "cannot be read|does not exist"),
        (lambda: read_scans(tmp_path / "empty"), "is empty; give a folder"),
        (lambda: read_scans(outer), "may be in its folder frames"),
        (lambda: read_scans(hopeless), "None of the 2 frames"),
        (lambda: read_scans(good, tracked=True), "9 to 40"),
        (lambda: read_scans(good, modality="voxels"), "holds points, not voxels"),
        (lambda: read_scans(good, modality="sound"), "choose points, depth"),  # type: ignore[arg-type]
        (lambda: read_scans(good, up_axis="w"), "x, y or z"),
        (lambda: read_scans(good, fps=0.0), "positive"),
        (lambda: read_scans(good, depth_max=-1.0), "above 0"),
        (lambda: read_scans(tmp_path / "two.npz"), "several arrays of points"),
    ]:
        with pytest.raises(DataError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_settings_beside_the_frames_count_and_arguments_count_more(tmp_path: Path) -> None:
    about = {"modality": "depth", "fps": 12, "up_axis": "x", "partial": "yes", "tracked": 3, "viewpoint": [0, 1, 2]}
    folder = filled(tmp_path / "scan", {"a.ply": ply(cloud()), "scan.json": json.dumps(about).encode()})
    scans = read_scans(folder)
    assert (scans.modality, scans.fps, scans.up_axis, scans.partial) == ("depth", 12, "x", True)
    assert scans.viewpoint == (0, 1, 2)
    assert (read_scans(folder, fps=30).fps, read_scans(folder, up_axis="y").up_axis) == (30, "y")
    (folder / "scan.json").write_bytes(b"{")
    scans = read_scans(folder)
    assert scans.modality == "points"
    assert "scan.json is not valid JSON" in scans.notes[0]


def test_measured_points_of_another_kind_keep_its_name(tmp_path: Path) -> None:
    """What a further kind of observation relies on: its record is found by the name of what was read."""
    (tmp_path / "a.xyz").write_text("0 0 0\n1 0 0\n0 1 0\n0 0 1\n" * 4)
    points = parse_text_points((tmp_path / "a.xyz").read_bytes())
    layout = ScanLayout(replace(POINTS, name="sonar"), [tmp_path / "a.xyz"])
    assert measured_sequence(tmp_path, layout, [("a.xyz", points)], [], ReadingOptions()).modality == "sonar"
    seen = measured_sequence(tmp_path, layout, [("a.xyz", points)], [], ReadingOptions(), seen_from_one_side=True)
    assert seen.modality == "depth"


def test_a_kind_without_arrays_takes_no_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A further kind may have text files alone; arrays of points stay points."""
    from core.io.scans import layouts

    sonar = ScanKind("sonar", "sonar", "sonar (.snr)", POINTS.read, suffixes=(".snr",))
    monkeypatch.setattr(layouts, "KINDS", (sonar, *layouts.KINDS))
    np.save(tmp_path / "a.npy", cloud())
    (tmp_path / "b.snr").write_text("0 0 0\n")
    assert layouts.find_scans(tmp_path / "a.npy", None).kind is POINTS
    assert layouts.find_scans(tmp_path / "b.snr", None).kind is sonar
