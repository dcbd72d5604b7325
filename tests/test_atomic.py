"""Files are whole or not there: full disks, locks, and what killed processes leave."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core.atomic import folder_lock, fresh_file, is_orphan, owner_mark, write_atomically
from core.checkpoint import checkpoint_path, save_checkpoint
from core.cli import main
from core.config import Config
from core.errors import CheckpointError
from core.io.staging import PREFIX, staged
from m2v_studio.document import project
from tests.studio.shapes import opened_state


def dead_mark() -> str:
    """The mark of a process that has ended."""
    script = "from core.atomic import owner_mark; print(owner_mark())"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stays(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "shape-autoencoder.safetensors"
    save_checkpoint(path, "shape-autoencoder", Config(), {"a": torch.zeros(3)}, {})
    before = path.read_bytes()

    def full(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(b"half a file")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_checkpoint(path, "shape-autoencoder", Config(), {"a": torch.ones(3)}, {})
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_other_errors_are_not_the_disk(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        raise KeyError("a fault of ours")

    with pytest.raises(KeyError):
        write_atomically(tmp_path / "a", write)
    assert not list(tmp_path.iterdir())


def test_what_killed_processes_left_goes_and_living_ones_keep_theirs(tmp_path: Path) -> None:
    gone = dead_mark()
    assert is_orphan(gone) and not is_orphan(owner_mark()) and not is_orphan("another-12-") and not is_orphan("")
    orphan = tmp_path / f".weights.bin.{gone}x.tmp"
    another = tmp_path / f".a.project.m2v.{gone}x.tmp"
    living = tmp_path / f".weights.bin.{owner_mark()}x.tmp"
    for file in (orphan, another, living):
        file.write_bytes(b"half")
    (tmp_path / f"{PREFIX}{gone}x" / "deep").mkdir(parents=True)
    with fresh_file(tmp_path / "weights.bin") as temporary:
        temporary.write_bytes(b"whole")
    with staged(tmp_path / "run.glb"):
        pass
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([living.name, "weights.bin"])


def test_the_next_start_removes_what_killed_exports_left_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they were writing: each says in the settings folder where, and takes the note back at its end."""
    monkeypatch.setenv("M2V_CONFIG_DIR", str(tmp_path / "config"))
    notes, far = tmp_path / "config" / "exports", tmp_path / "far"
    with staged(far / "run.glb") as living:
        (note,) = notes.iterdir()
        gone = dead_mark()
        killed, save = far / f"{PREFIX}{gone}x", far / f".walk.m2v.{gone}x.tmp"
        killed.mkdir()
        save.write_bytes(b"half")
        (notes / killed.name).write_text(str(far))
        (notes / f"{PREFIX}{gone}y").write_text(str(tmp_path / "a disk that is gone"))
        (notes / f"{PREFIX}{gone}a").write_bytes(b"\xff cut")
        assert main(["info", "small"]) == 0
        assert not killed.exists() and not save.exists() and living.exists()
        assert sorted(notes.iterdir()) == sorted([note, notes / f"{PREFIX}{gone}a"])
        (notes / f"{PREFIX}{gone}a").unlink()
    assert not list(notes.iterdir()) and not list(far.iterdir())


def test_a_save_says_where_it_writes_until_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2V_CONFIG_DIR", str(tmp_path / "config"))
    seen: list[str] = []
    original = project.write_atomically

    def watched(*given: Any) -> None:
        seen.extend(note.read_text() for note in (tmp_path / "config" / "exports").iterdir())
        original(*given)

    monkeypatch.setattr(project, "write_atomically", watched)
    project.save_project(opened_state(), tmp_path / "far" / "walk.m2v")
    assert seen == [str(tmp_path / "far")]
    assert not list((tmp_path / "config" / "exports").iterdir()) and len(list((tmp_path / "far").iterdir())) == 1


def test_a_full_disk_ends_a_training_with_one_sentence_and_its_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system itself refuses, in the middle of the file."""
    resource = pytest.importorskip("resource", reason="limits of a POSIX system")
    out = tmp_path / "run"
    train = ["train", "motion-autoencoder", "--config", "tiny", "--out", str(out), "--steps"]
    assert main([*train, "1"]) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix == ".safetensors"}
    assert len(before) == 2
    capsys.readouterr()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(map(len, before.values())) // 2, limits[1]))
    try:
        code = main([*train, "2"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and "cannot be written (File too large)" in said and said.endswith("free some space.")
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.suffix == ".safetensors"} == before
    assert not list(out.glob("*.tmp"))
    assert main([*train, "2"]) == 0  # goes on from there


def test_frames_that_a_killed_export_was_replacing_come_back(tmp_path: Path) -> None:
    left = tmp_path / f"{PREFIX}{dead_mark()}x"
    for name in ("walk.obj.old", "walk.obj", "run.obj.old"):
        (left / name).mkdir(parents=True)
        (left / name / "frame_0000.obj").write_text(name)
    (tmp_path / "run.obj").mkdir()  # was replaced already
    with staged(tmp_path / "other.glb"):
        pass
    assert (tmp_path / "walk.obj" / "frame_0000.obj").read_text() == "walk.obj.old"
    assert not list((tmp_path / "run.obj").iterdir()) and len(list(tmp_path.iterdir())) == 2


def test_one_writer_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with folder_lock(tmp_path), pytest.raises(CheckpointError, match="Another process"), folder_lock(tmp_path):
        pass
    with folder_lock(tmp_path):
        for named in (["--out", str(tmp_path)], [f"--resume={tmp_path}"], ["--ou", str(tmp_path)]):
            assert main(["train", "all", "--config", "tiny", "--steps", "1", *named]) == 2
            assert "Another process is writing" in capsys.readouterr().err
    with folder_lock(tmp_path):  # free again
        pass


def test_names_of_presets_win_over_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()
    (tmp_path / "mine").mkdir()
    assert checkpoint_path("small", "a").is_relative_to(Path(os.path.realpath(__file__)).parents[1])
    assert checkpoint_path("./small", "a").parent.resolve() == (tmp_path / "small").resolve()
    assert checkpoint_path("mine", "a") == Path("mine/a.safetensors")
