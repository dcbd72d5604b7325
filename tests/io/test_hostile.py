"""Nothing gets out, nothing explodes: paths stay in the mesh's folder, sizes within budgets, messages short."""

from __future__ import annotations

import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from core.bank.bank_file import read_bank, read_contents
from core.checkpoint import load_checkpoint
from core.config import load_config
from core.errors import ConfigError, DataError, HandleError, M2VError, MeshError
from core.geometry.polygons import MAX_CORNERS, triangulate
from core.io.beside import OutsideError, read_beside, utf8
from core.io.gltf.scene import GltfScene
from core.io.handle_file import read_handle_file
from core.io.mesh.mesh_reader import read_mesh
from core.io.reference_frames import read_reference
from core.io.scans.scan_reader import read_scans
from core.io.sequence_file import read_sequence
from m2v_studio.document.project import load_project
from tests.glb_writer import GlbWriter, box, breathing_box
from tests.io.conftest import png

FILES = Path(__file__).parent / "files"
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl a\nf 1/1 2/2 3/3\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`inside/` is the mesh's folder; a secret image lies beside it, and links in it lead there and round."""
    (tmp_path / "inside" / "deep").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(png(1, 2, 3))
    inside = tmp_path / "inside"
    (inside / "own.png").write_bytes(png(9, 9, 9))
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "near.png").symlink_to(inside / "own.png")
    (inside / "round").symlink_to(inside / "round")
    os.mkfifo(inside / "pipe.png")
    return inside


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "deep/../../secret.png", "link.png", "round", "pipe.png", "deep", "/dev/zero", "a\0b", "gone"],
)
def test_no_file_outside_and_no_device_is_opened(folder: Path, name: str) -> None:
    with pytest.raises(OutsideError):
        read_beside(folder, name)
    with pytest.raises(OutsideError):
        read_beside(folder, str(folder.parent / "secret.png"))


def test_files_inside_are_read_through_links(folder: Path) -> None:
    for name in ("own.png", "near.png", "deep/../own.png"):
        assert read_beside(folder, name) == png(9, 9, 9)
    with pytest.raises(OutsideError, match="larger"):
        read_beside(folder, "own.png", limit=8)


@pytest.mark.parametrize("name", ["../secret.png", "link.png", "pipe.png", "%2e%2e/secret.png", "/dev/zero"])
def test_no_format_embeds_a_picture_from_elsewhere(folder: Path, name: str) -> None:
    (folder / "m.obj").write_text(f"mtllib m.mtl\n{TRIANGLE}")
    (folder / "m.mtl").write_text(f"newmtl a\nmap_Kd {name}\n")
    (folder / "m.ply").write_text(
        f"ply\nformat ascii 1.0\ncomment TextureFile {name}\nelement vertex 3\nproperty float x\nproperty float y\n"
        "property float z\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n"
        "0 1 0\n3 0 1 2\n"
    )
    writer = breathing_box()
    writer.json["images"] = [{"uri": name}]
    writer.json["textures"] = [{"source": 0}]
    writer.json["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    writer.json["meshes"][0]["primitives"][0]["material"] = 0
    writer.save(folder / "m.glb")
    for suffix in ("obj", "ply", "glb"):
        mesh = read_mesh(folder / f"m.{suffix}")
        assert all(part.material is None or part.material.base_color_texture is None for part in mesh.parts)
        assert mesh.notes
    (folder / "n.obj").write_text(f"mtllib {folder.parent}/secret.mtl\n{TRIANGLE}")
    assert "outside" in read_mesh(folder / "n.obj").notes[0] or "not found" in read_mesh(folder / "n.obj").notes[0]
    document = writer.document("../m.bin")
    (folder.parent / "m.bin").write_bytes(bytes(writer.binary))
    (folder / "m.gltf").write_text(json.dumps(document))
    with pytest.raises(MeshError, match="outside"):
        read_mesh(folder / "m.gltf")


@pytest.fixture
def patience() -> Iterator[None]:
    """Whoever waits for a pipe is interrupted."""

    def waited(*_: object) -> None:
        raise AssertionError("it waits for what never comes")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("p.obj", read_mesh), ("p.usda", read_mesh), ("p.glb", GltfScene), ("p.npz", read_sequence),
        ("p.npy", read_scans), ("p.m2v", load_project), ("p.safetensors", load_checkpoint),
        ("p.safetensors", read_bank), ("p.safetensors", read_contents),
        ("p.mp4", lambda path: read_reference(path, 24)),
    ],
)  # fmt: skip
def test_no_reader_waits_for_a_pipe_or_reads_a_device(
    name: str, read: Callable[[Path], object], tmp_path: Path, patience: None
) -> None:
    """A project may name any file as its scans or as what it is animated after."""
    os.mkfifo(tmp_path / name)
    (tmp_path / f"zero{name}").symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / f"zero{name}"):
        with pytest.raises(M2VError):
            read(path)


def test_yaml_from_a_pipe_is_read_as_far_as_it_may_go(tmp_path: Path, patience: None) -> None:
    """As a shell's <(...) gives it."""
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="larger than"):
        load_config(str(tmp_path / "zero.yaml"))
    with pytest.raises(HandleError, match="larger than"):
        read_handle_file(tmp_path / "zero.yaml", read_mesh(FILES / "coloured.obj"))
    reading, writing = os.pipe()
    os.write(writing, b"frames: 3\nhandles: [{vertex: 0, pinned: true}]\n")
    os.close(writing)
    tracks = read_handle_file(Path(f"/dev/fd/{reading}"), read_mesh(FILES / "coloured.obj"))
    os.close(reading)
    assert tracks.frames == 3


def test_messages_have_300_characters_at_most(tmp_path: Path) -> None:
    error = M2VError("a" * 5000 + " do this.")
    assert len(str(error)) == 300 and str(error).endswith("do this.")
    assert str(M2VError("Short one; do it.")) == "Short one; do it."
    assert len(str(M2VError("x" * 10**6))) <= 300


def test_yaml_bombs_are_answered_at_once(tmp_path: Path) -> None:
    mesh = read_mesh(FILES / "coloured.obj")
    laughs = "fps:\n- &a [x, x]\n- &b [*a, *a]\nhandles: []\n"
    texts = {
        "laughs": (laughs, "aliases"),
        "deep": ("handles: " + "[" * 100_000, "valid YAML|nested"),
        "nested": ("handles: " + "[" * 100 + "]" * 100, "nested"),
        "long": ("handles:\n" + "- vertex: 1\n  pinned: true\n" * 500_000, "larger"),
    }
    for name, (text, words) in texts.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        began = time.process_time()
        with pytest.raises(HandleError, match=words):
            read_handle_file(path, mesh)
        with pytest.raises(ConfigError):
            load_config(str(path))
        assert time.process_time() - began < 2


def test_a_full_handle_file_is_within_the_budget(tmp_path: Path) -> None:
    mesh = read_mesh(FILES / "mirrored_pair.glb")
    keys = ", ".join(
        f"{frame}: [0.1234567890123456, -1.234567890123456, 0.9876543210987654]" for frame in range(1, 200)
    )
    path = tmp_path / "full.yaml"
    path.write_text("frames: 200\nhandles:\n" + "".join(f"- vertex: {v}\n  keys: {{{keys}}}\n" for v in range(64)))
    assert len(read_handle_file(path, mesh).handles) == 64


@pytest.mark.parametrize("reader", [read_sequence, read_scans])
def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, reader) -> None:  # type: ignore[no-untyped-def]
    heading = io.BytesIO()
    np.lib.format.write_array_header_1_0(heading, {"descr": "<f4", "fortran_order": False, "shape": (17, 6_000_000, 3)})
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in ("vertices", "points"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(heading.getvalue())
                for _ in range(70):
                    member.write(bytes(1 << 20))
    began = time.process_time()
    with pytest.raises((MeshError, DataError), match=r"unpacks|more than it holds"):
        reader(path)
    assert time.process_time() - began < 2


def test_polygons_are_cut_in_time_and_inside() -> None:
    count = 10_000
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radius = 1 + 0.3 * np.sin(40 * angle)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], -1)
    began = time.process_time()
    cut = triangulate(points, range(count), [count])
    assert time.process_time() - began < 2
    a, b, c = (points[cut[:, corner]] for corner in range(3))
    areas = np.cross(b - a, c - a)[:, 2] / 2
    x, y = points[:, 0], points[:, 1]
    assert len(cut) == count - 2 and areas.min() > -1e-12
    assert areas.sum() == pytest.approx((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)
    with pytest.raises(MeshError, match="corners"):
        triangulate(np.zeros((3, 3)), np.zeros(MAX_CORNERS + 1, np.int64), [MAX_CORNERS + 1])


def test_mixed_polygons_keep_their_order() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0.5, 0.0]])
    corners = [0, 1, 2, 3, 1, 4, 2, 0, 1, 0, 1, 4, 2, 3]
    cut = triangulate(points, corners, [4, 3, 2, 5])
    assert np.array(corners)[cut].tolist() == [[0, 1, 2], [0, 2, 3], [1, 4, 2], [0, 1, 4], [0, 4, 2], [0, 2, 3]]


def test_a_hundred_thousand_primitives_or_morphs_are_refused(tmp_path: Path) -> None:
    writer = GlbWriter()
    positions, faces = box((0, 0, 0), (1, 1, 1))
    primitive = {
        "attributes": {"POSITION": writer.accessor(positions)},
        "indices": writer.accessor(faces.ravel(), "u2"),
    }
    writer.json |= {"nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive] * 100_000}]}
    began = time.process_time()
    with pytest.raises(MeshError, match="pieces"):
        read_mesh(writer.save(tmp_path / "many.glb"))
    writer.json["meshes"] = [{"primitives": [{**primitive, "targets": [{"POSITION": 0}] * 100_000}]}]
    with pytest.raises(MeshError, match="morph"):
        read_mesh(writer.save(tmp_path / "morphs.glb"))
    assert time.process_time() - began < 4


def test_marks_of_every_encoding_are_understood() -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert utf8("v 1 2 ü".encode(encoding)) == "v 1 2 ü".encode()
    assert utf8(b"v 1") == b"v 1"
