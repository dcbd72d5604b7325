"""Animated files of every kind become shapes of the bank: all motion kept, nothing twice, broken files named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.bank import user_bank
from core.bank.bank_file import read_bank, write_bank
from core.bank.building import build_shapes, motion_files
from core.bank.credits import OWN_AUTHOR
from core.bank.read_motion import read_motion
from core.bank.read_sequence import rigid_parts
from core.bank.shape import BankShape
from core.cli.command_line import main
from core.errors import Cancelled, DataError, M2VError
from core.experiments.procedural_shapes import procedural_shapes
from core.io.export import export_sequence
from core.sequence import MeshSequence
from tests.bank.creatures import swinging_rod
from tests.glb_writer import arm, box, breathing_box

FORMATS = (".npz", ".glb", ".usda", ".pc2", ".mdd")


def hinge(frames: int = 25, degrees: float = 70.0) -> MeshSequence:
    """Two bars that nearly touch at the origin; the right one swings up about it and back."""
    vertices, faces = zip(*[box((low, -0.1, -0.1), (low + 1.0, 0.1, 0.1)) for low in (-1.01, 0.01)], strict=True)
    count = len(vertices[0])
    angle = np.deg2rad(degrees) * np.sin(np.linspace(0, np.pi, frames))
    moved = np.repeat(np.concatenate(vertices)[None].astype(np.float32), frames, 0)
    cosine, sine, zero = np.cos(angle), np.sin(angle), 0 * angle
    turn = np.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, zero + 1], -1).reshape(-1, 3, 3)
    moved[:, count:] = np.einsum("fab,nb->fna", turn, vertices[1])
    return MeshSequence(moved, np.concatenate([faces[0], faces[1] + count]).astype(np.int32), 24.0)


def keep(shape: BankShape) -> BankShape:
    """Stands for a network that describes shapes."""
    return replace(shape, descriptors=np.ones((2, len(shape.nodes), 4), np.float32) / 2, described_by="a test")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's bank in a folder of this test."""
    path = tmp_path / "config" / "motions.safetensors"
    monkeypatch.setattr(user_bank, "user_bank", lambda: path)
    return path


@pytest.mark.parametrize("suffix", FORMATS)
def test_two_bars_are_two_parts_that_move_as_in_the_file(tmp_path: Path, suffix: str) -> None:
    export_sequence(hinge(), tmp_path / f"hinge{suffix}")
    shape = read_motion(tmp_path / f"hinge{suffix}")
    assert shape.parts == 2 and len(shape.clips) == 1 and shape.clips[0].frames == 13
    left = shape.nodes[:, 0] < 0
    posed = shape.posed(shape.clips[0])
    assert np.abs(posed[:, left] - shape.nodes[left]).max() < 0.01
    far = int(shape.nodes[:, 0].argmax())
    assert posed[6, far, 1] - shape.nodes[far, 1] == pytest.approx(np.sin(np.deg2rad(70)) / 2, abs=0.03)
    lengths = np.linalg.norm(posed[:, ~left] - posed[:, far, None], axis=-1)
    assert np.abs(lengths - lengths[0]).max() < 0.03


def test_what_bends_everywhere_falls_into_rigid_pieces() -> None:
    along = np.linspace(0, 1, 60)
    bend = np.linspace(0, 2, 9)[:, None] * along
    paths = np.stack([np.cumsum(np.cos(bend), 1), np.cumsum(np.sin(bend), 1), 0 * bend], -1) / 60
    parts = rigid_parts(paths)
    assert 3 <= parts.max() + 1 <= 15 and np.bincount(parts).min() >= 4
    assert (np.diff(parts) != 0).sum() == parts.max(), "a piece hangs together"


def test_a_skinned_file_keeps_its_joints_and_a_morphing_one_moves(tmp_path: Path) -> None:
    (tmp_path / "arm.glb").write_bytes(arm(clips=2).bytes())
    (tmp_path / "breathing.glb").write_bytes(breathing_box().bytes())
    shape = read_motion(tmp_path / "arm.glb")
    assert len(shape.clips) == 2 and not any(name.startswith("part") for name in shape.part_names)
    breathing = read_motion(tmp_path / "breathing.glb")
    assert np.abs(breathing.posed(breathing.clips[0]) - breathing.nodes).max() > 0.05


def files(folder: Path) -> list[Path]:
    export_sequence(hinge(), folder / "one.npz")
    export_sequence(hinge(degrees=40), folder / "two.npz")
    (folder / "copy.npz").write_bytes((folder / "one.npz").read_bytes())
    (folder / "broken.glb").write_bytes(b"glTF and nothing else")
    export_sequence(hinge(degrees=0.0), folder / "still.npz")
    return motion_files([folder])


@pytest.mark.parametrize("processes", [1, 2])
def test_broken_and_repeated_files_are_named_and_left_out(tmp_path: Path, processes: int) -> None:
    seen: list[tuple[int, int]] = []
    built = build_shapes(
        files(tmp_path), keep, on_progress=lambda done, total, _: seen.append((done, total)), processes=processes
    )
    assert [shape.name for shape in built.shapes] == ["copy", "two"]
    assert {path.name for path, _ in built.skipped} == {"broken.glb", "one.npz", "still.npz"}
    assert all(path.name in why or path.stem in why for path, why in built.skipped)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(shape.author == OWN_AUTHOR and shape.pack == shape.name for shape in built.shapes)


def test_a_place_without_motion_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError):
            motion_files([place])
    (tmp_path / "notes.txt").write_text("no animation")
    with pytest.raises(M2VError, match=r"notes\.txt"):
        read_motion(tmp_path / "notes.txt")


def test_own_motions_are_added_once_listed_and_removed(tmp_path: Path, own: Path) -> None:
    (tmp_path / "in").mkdir()
    files(tmp_path / "in")
    assert [shape.name for shape in user_bank.add_motions([tmp_path / "in"], keep).shapes] == ["copy", "two"]
    again = user_bank.add_motions([tmp_path / "in"], keep)
    assert not again.shapes and len(again.skipped) == 5
    other = tmp_path / "other" / "two.npz"
    export_sequence(hinge(degrees=20), other)
    assert [shape.name for shape in user_bank.add_motions([other], keep).shapes] == ["two 2"]
    assert [shape.name for shape in user_bank.user_shapes()] == ["copy", "two", "two 2"]
    with pytest.raises(DataError, match="two 2"):
        user_bank.remove_motions(["three"])
    user_bank.remove_motions(["copy", "two 2"])
    assert [shape.name for shape in user_bank.user_shapes()] == ["two"]
    user_bank.remove_motions(["two"])
    assert not own.exists() and user_bank.user_shapes() == []


def test_the_command_builds_lists_adds_and_removes(
    tmp_path: Path, own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "in").mkdir()
    files(tmp_path / "in")
    bank = tmp_path / "bank.safetensors"
    assert main(["bank", "build", str(tmp_path / "in"), "--out", str(bank), "--processes", "1"]) == 0
    said = capsys.readouterr()
    assert "2 clips of 2 models" in said.out and "broken.glb is left out" in said.err
    shape = read_bank(bank)[0]
    assert shape.descriptors.shape == (2, 128, 32) and shape.described_by
    assert main(["bank", "list", str(bank), "--clips"]) == 0 and "copy" in capsys.readouterr().err
    assert main(["bank", "add", str(tmp_path / "in" / "two.npz")]) == 0
    assert main(["bank", "add", str(tmp_path / "in" / "two.npz")]) == 2
    assert main(["bank", "list"]) == 0 and "two" in capsys.readouterr().err
    assert main(["bank", "remove", "two"]) == 0 and main(["bank", "remove", "two"]) == 2
    assert main(["bank", "build", str(tmp_path / "in"), "--out", str(tmp_path / "bank.glb")]) == 2
    assert main(["bank"]) == 2


def test_the_command_adds_procedural_members(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procedural_shapes, "__defaults__", (("laptop", "fish"), None))
    (tmp_path / "in").mkdir()
    files(tmp_path / "in")
    bank = tmp_path / "bank.safetensors"
    build = ["bank", "build", str(tmp_path / "in"), "--out", str(bank), "--processes", "1", "--procedural"]
    assert main([*build, "1"]) == 0
    laptop, fish = read_bank(bank)[-2:]
    assert (laptop.name, laptop.author, laptop.pack) == ("procedural_laptop_1", "m2v studio", "procedural")
    assert laptop.parts == 2 and laptop.descriptors.shape == (2, 128, 32)  # a base and a lid
    turned = np.degrees(2 * np.arccos(np.abs(laptop.clips[0].quaternions[..., 0]).clip(0, 1))).max(axis=0)
    assert turned.max() > 20 and laptop.clips[0].frames >= 20
    assert fish.clips[0].behaviour == "swim" and fish.source != laptop.source
    for count in ("-1", "101"):
        assert main([*build, count]) == 2 and "ask for 0 to 100" in capsys.readouterr().err


def test_procedural_members_are_counted_as_they_are_made_and_can_be_stopped() -> None:
    told: list[tuple[int, int, str]] = []
    made = procedural_shapes(2, ("laptop",), lambda *progress: told.append(progress))
    assert [shape.name for shape in made] == ["procedural_laptop_1", "procedural_laptop_2"]
    assert [(done, total) for done, total, _ in told] == [(0, 2), (1, 2), (2, 2)]
    assert told[1][2] == "procedural_laptop_2"

    def stop(*_: object) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        list(procedural_shapes(1, ("fish",), stop))


def test_a_damaged_bank_of_ones_own_is_not_written_over(tmp_path: Path, own: Path) -> None:
    write_bank(own, [keep(swinging_rod())])
    own.write_bytes(own.read_bytes()[:100])
    export_sequence(hinge(), tmp_path / "one.npz")
    with pytest.raises(DataError):
        user_bank.add_motions([tmp_path / "one.npz"], keep)
    assert own.stat().st_size == 100
