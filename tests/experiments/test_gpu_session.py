"""A session on a GPU refuses data it cannot use before any time is spent on training."""

import subprocess
from pathlib import Path

import pytest

from core.cli.command_line import parser as command_line
from core.experiments import gpu_session
from core.experiments.gpu_session import main


@pytest.mark.parametrize("content", [None, b"not packed"])
def test_a_packed_rig_bank_that_cannot_be_unpacked_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    rigs = tmp_path / "rigs.safetensors.xz"
    if content is not None:
        rigs.write_bytes(content)
    assert main(["--rigs", str(rigs), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "cannot be unpacked" in said and said.count("\n") == 1


@pytest.mark.parametrize("begin", [[], ["--fresh"]])
def test_weights_that_are_not_there_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], begin: list[str]
) -> None:
    places = ["--rigs", str(tmp_path / "bank"), "--out", str(tmp_path / "out"), "--from", str(tmp_path / "nothing")]
    assert main([*places, "--stage", "shape-diffusion", *begin]) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "nothing") in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_benchmarks_are_those_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        called.append(command[3:])
        parsed = command_line().parse_args(command[3:])  # as `m2v` reads it
        assert parsed.device == "cuda:1" and not parsed.training and parsed.out.parent == tmp_path
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert gpu_session.benchmarks(tmp_path, "cuda:1") == 0
    assert [("paper" in command, "--untrained" in command) for command in called] == [(False, False), (True, True)]


def test_benchmarks_that_lack_a_package_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_session, "BENCH_NEEDS", ("json", "no_such_package"))
    assert gpu_session.benchmarks(tmp_path) == 0
    assert "no_such_package: not installed" in capsys.readouterr().out
