"""Damaged and random scan files of every kind: read, or refused with a DataError of one sentence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import DataError
from core.io.scans.scan_reader import read_scans
from tests.io.damage import damaged
from tests.io.scans.test_scan_reader import check, cloud, literal_lzf, pcd, ply, text
from tests.io.scans.test_scan_reader_grids import INTRINSICS, ball_depth, binvox, png


def _valid_files() -> list[tuple[str, bytes]]:
    points = cloud(count=12)
    grid = np.zeros((4, 4, 4), bool)
    grid[1, 2] = True
    arrays = []
    for array in (points, np.stack([points, points]), grid):
        out = io.BytesIO()
        np.savez_compressed(out, data=array)
        arrays.append(("npz", out.getvalue()))
        out = io.BytesIO()
        np.save(out, array)
        arrays.append(("npy", out.getvalue()))
    photo = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(photo, format="JPEG")
    return [
        *arrays, ("ply", ply(points)), ("obj", text(points, "v ")), ("xyz", text(points)),
        ("pcd", pcd(points, "ascii")), ("pcd", pcd(points, "binary")),
        ("pcd", pcd(points, "binary_compressed")), ("binvox", binvox(grid)),
        ("png", png((ball_depth()[:8, :8] * 1000).astype(np.uint16))), ("png", png(np.zeros((8, 8, 3), np.uint8))),
        ("jpg", photo.getvalue()),
    ]  # fmt: skip


VALID = _valid_files()


def _reads_or_says_why(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        scans = read_scans(path, intrinsics=INTRINSICS)
    except DataError as error:
        assert path.name in str(error)
        assert "\n" not in str(error)
    else:
        check(scans)
    finally:
        path.unlink()


@settings(max_examples=150, deadline=None)
@given(damaged(VALID))
def test_cut_and_changed_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[str, list[bytes]]
) -> None:
    kind, versions = file
    for data in versions:
        _reads_or_says_why(tmp_path_factory.getbasetemp() / f"changed scan.{kind}", data)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["ply", "pcd", "xyz", "obj", "npy", "npz", "png", "jpg", "binvox"]),
    st.sampled_from(
        [b"", b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 9\nDATA binary_compressed\n", b"PK\x03\x04",
         b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9, 3)}\n", b"v 1 2 3\nv ",
         b"#binvox 1\ndim 4 4 4\ndata\n", b"\x89PNG\r\n\x1a\n", b"ply\nformat ascii 1.0\nelement vertex "]
    ),
    st.binary(max_size=200),
)  # fmt: skip
def test_random_bytes_are_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, start: bytes, data: bytes
) -> None:
    _reads_or_says_why(tmp_path_factory.getbasetemp() / f"random scan.{kind}", start + data)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=3000))
def test_lzf_gives_back_what_was_packed(data: bytes) -> None:
    from core.io.scans.pcd import decompress_lzf

    assert decompress_lzf(literal_lzf(data), len(data)) == data


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(*[st.floats(-1e3, 1e3, width=32) | st.sampled_from([np.nan, np.inf, 1e38, 0.0])] * 3),
            min_size=0, max_size=12,
        ),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_any_points_are_cleaned_or_refused(
    tmp_path_factory: pytest.TempPathFactory, frames: list[list[tuple[float, float, float]]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for number, frame in enumerate(frames):
        (folder / f"{number}.ply").write_bytes(ply(np.array(frame, np.float32).reshape(-1, 3)))
    try:
        scans = read_scans(folder)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        check(scans)
        assert scans.frames == len(frames) or any("skipped" in note for note in scans.notes)
