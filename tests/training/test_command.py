"""`python -m core.training`: bad input is one sentence and exit code 2."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from core.checkpoint import STAGES, load_checkpoint
from core.training.__main__ import main
from core.training.stages import train
from tests.training.fixed import FixedClips, tiny

ROOT = Path(__file__).parents[2]


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence on the error stream of a run that has to exit with 2."""
    assert main(["motion-autoencoder", "--config", "tiny", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == "" and "Traceback" not in output.err
    sentence = output.err.strip()
    assert len(sentence.splitlines()) == 1 and len(sentence) > 20
    return sentence


def test_how_long_has_to_be_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "--minutes" in complaint(capsys, "--out", str(tmp_path / "new"))
    assert not (tmp_path / "new").exists(), "nothing is written before the arguments are right"


@pytest.mark.parametrize("length", [("--steps", "0"), ("--steps", "-5"), ("--minutes", "0"), ("--minutes", "nan")])
def test_an_impossible_length(capsys: pytest.CaptureFixture[str], tmp_path: Path, length: tuple[str, str]) -> None:
    assert length[1] in complaint(capsys, *length, "--out", str(tmp_path))


def test_an_unknown_stage_names_the_stages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["motion-autoencodr", "--steps", "1"])
    assert stopped.value.code == 2
    assert all(stage in capsys.readouterr().err for stage in STAGES[:1])


def test_an_unknown_key_names_the_nearest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = complaint(capsys, "--steps", "1", "--set", "training.bach=2", "--out", str(tmp_path))
    assert "batch" in said


def test_a_folder_that_is_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "inside"):
        assert "choose another folder" in complaint(capsys, "--steps", "1", "--out", str(folder))


def test_a_read_only_folder(capsys: pytest.CaptureFixture[str], unwritable: Path) -> None:
    assert "choose another folder" in complaint(capsys, "--steps", "1", "--out", str(unwritable))


def test_a_folder_of_rigs_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = str(tmp_path / "no rigs")
    said = complaint(capsys, "--steps", "1", "--set", f"data.rigs={missing}", "--out", str(tmp_path / "out"))
    assert "no rigs" in said


def test_a_stage_whose_predecessor_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["shape-diffusion", "--config", "tiny", "--steps", "1", "--out", str(tmp_path)]) == 2
    assert "shape-autoencoder" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["truncated", "noise", "empty", "other configuration", "no counters"])
def test_a_damaged_state(capsys: pytest.CaptureFixture[str], tmp_path: Path, damage: str) -> None:
    config = tiny(motion={"width": 48}) if damage == "other configuration" else tiny()
    train([STAGES[1]], config, tmp_path, steps=1, source=FixedClips())
    path = tmp_path / f"{STAGES[1]}.state.safetensors"
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    if damage == "noise":
        path.write_bytes(bytes(range(256)) * 40)
    if damage == "empty":
        path.write_bytes(b"")
    if damage == "no counters":
        save_file(load_file(path), path, metadata={"counters": "{}"})
    assert path.name in complaint(capsys, "--steps", "3", "--out", str(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="signals of a POSIX system")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_process_saves_its_last_whole_step(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "core.training", "motion-autoencoder", "--config", "tiny", "--minutes", "9"]
    log = tmp_path / "motion-autoencoder.log.jsonl"
    process = subprocess.Popen([*command, "--out", str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not log.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and "saved" in said and "Traceback" not in said
    checkpoint = load_checkpoint(tmp_path / "motion-autoencoder.safetensors", "motion-autoencoder")
    assert checkpoint.record["step"] >= 20
    assert [path.name for path in tmp_path.glob(".*")] == [".m2v-lock"]
