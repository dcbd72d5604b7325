"""m2v reconstruct: how scans are read, what the pipeline is asked, what is written, and one sentence for bad input.

The networks are stood in for by one that returns a small surface at the right place; the pipeline has its own tests.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.cli import command_line as cli
from core.io.sequence_file import read_sequence
from core.pipelines.reconstruct import Reconstructor
from tests.cli.conftest import CORNERS, FakeReconstructor

FRAMES = 4


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of points per frame, its name with a space and other letters."""
    folder = tmp_path / "моя съёмка 1"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for frame in range(FRAMES):
        points = generator.normal(size=(50 + frame, 3))
        points *= 3 / np.linalg.norm(points, axis=1, keepdims=True)
        np.savetxt(folder / f"{frame}.xyz", points + np.array([10, 0, 0]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return folder


def run(scans: Path, *more: str, out: str = "out.npz") -> int:
    return cli.main(["reconstruct", str(scans), "--out", out, *more])


def test_one_seed_writes_the_output_itself(scans: Path, fake: FakeReconstructor, capsys: pytest.CaptureFixture[str]):
    assert run(scans, "--seeds", "1") == 0
    output = capsys.readouterr()
    assert output.out.split() == ["out.npz"]
    assert read_sequence(Path("out.npz")).vertices.shape == (FRAMES, 4, 3)
    assert "1.5000" in output.err and "3.0000" in output.err, "the mean fit and that of the worst frame"
    assert "a guess: --center 0 0 0 --scale 2 --up y" in output.err


def test_several_seeds_are_numbered_and_each_fit_is_said(
    scans: Path, fake: FakeReconstructor, capsys: pytest.CaptureFixture[str]
):
    assert run(scans, "--seeds", "2", "--seed", "7", out="new/body.glb") == 0
    output = capsys.readouterr()
    assert output.out.split() == ["new/body-seed7.glb", "new/body-seed8.glb"]
    assert Path("new/body-seed8.glb").read_bytes()[:4] == b"glTF"
    assert "2.0000" in output.err and "nan" not in output.err, "frames without points do not count"


def test_what_is_asked_reaches_the_reader_and_the_pipeline(scans: Path, fake: FakeReconstructor):
    assert run(scans, "--up", "z", "--fps", "12", "--partial", "--no-tracked", "--quality", "draft", "--resolution",
               "64", "--faces", "5000", "--one-shape") == 0  # fmt: skip
    read, options = fake.asked
    assert (read.frames, read.up_axis, read.fps, read.partial, read.tracked) == (FRAMES, "z", 12.0, True, False)
    assert (options.resolution, options.faces, options.one_shape) == (64, 5000, True)
    assert options.sampling.quality == "draft" and options.normalization is None


def test_a_place_given_in_part_is_completed_by_the_guess(scans: Path, fake: FakeReconstructor):
    assert run(scans, "--center", "1", "-2", "3.5", "--scale", "4") == 0
    given = fake.asked[1].normalization
    assert given is not None and given.scale == 4 and given.center.tolist() == [1, -2, 3.5]
    assert run(scans, "--center", "10", "0", "0") == 0
    given = fake.asked[1].normalization
    assert given is not None and given.scale == pytest.approx(6, rel=0.2), "the longest side of a sphere of radius 3"
    assert run(scans, "--scale", "5") == 0
    given = fake.asked[1].normalization
    assert given is not None and given.scale == 5 and given.center == pytest.approx([10, 0, 0], abs=0.6)


def test_what_is_printed_about_the_place_can_be_given_back(
    scans: Path, fake: FakeReconstructor, capsys: pytest.CaptureFixture[str]
):
    assert run(scans, "--center", "-0.00001", "1234567.25", "0.5", "--scale", "0.00002", "--up", "z") == 0
    line = next(line for line in capsys.readouterr().err.splitlines() if "--center" in line)
    assert run(scans, *line[line.index("--center") :].split()) == 0
    given = fake.asked[1].normalization
    assert given is not None and given.center == pytest.approx([-1e-5, 1234567.25, 0.5], rel=1e-5)
    assert given.scale == pytest.approx(2e-5) and given.up_axis == "z"


def test_a_file_format_that_is_y_up_gets_turned(scans: Path, fake: FakeReconstructor):
    assert run(scans, "--seeds", "1", "--up", "z", "--center", "0", "0", "0", "--scale", "1", out="z.npz") == 0
    turned = read_sequence(Path("z.npz")).vertices[0]
    assert np.allclose(turned, CORNERS, atol=1e-6), "normalised space is Y up, and so is the file"


def test_what_the_reader_skipped_is_named(scans: Path, fake: FakeReconstructor, capsys: pytest.CaptureFixture[str]):
    (scans / "2.xyz").write_text("")
    assert run(scans) == 0
    assert f"{scans.name}: " in (said := capsys.readouterr().err) and "2.xyz" in said
    assert fake.asked[0].frames == FRAMES - 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--resolution", "100"], "choose 32, 64, 128 or 256"),
        (["--faces", "3"], "3 faces is out of range"),
        (["--seeds", "0"], "0 seeds is out of range"),
        (["--quality", "great"], "choose draft, normal, best"),
        (["--scale", "0"], "scale 0.0 is out of range"),
        (["--scale", "nan"], "out of range"),
        (["--center", "0", "inf", "0"], "correct --center"),
        (["--fps", "-1"], "-1"),
        (["--modality", "smells"], "smells"),
    ],
)
def test_bad_options_are_one_sentence(
    scans: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
):
    refused(scans, monkeypatch, capsys, arguments, sentence)


@pytest.mark.parametrize(
    ("out", "sentence"), [("out", "must end in one of"), ("/proc/no/out.glb", "cannot be written")]
)
def test_bad_outputs_are_one_sentence(
    scans: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str, sentence: str
):
    refused(scans, monkeypatch, capsys, ["--out", out], sentence)


def test_scans_that_are_not_there_are_one_sentence(
    scans: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    refused(scans.with_name("nowhere"), monkeypatch, capsys, [], "nowhere")
    (empty := scans.with_name("empty")).mkdir()
    refused(empty, monkeypatch, capsys, [], "empty")


def refused(
    scans: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.setattr(Reconstructor, "load", None)  # calling it would be a fault, exit code 1
    before = sorted(Path().iterdir())
    assert run(scans, *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error and len(error.splitlines()) == 1 and "Traceback" not in error
    assert sorted(Path().iterdir()) == before, "nothing may be left behind"


def test_ctrl_c_leaves_nothing(scans: Path, fake: FakeReconstructor, monkeypatch: pytest.MonkeyPatch):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fake, "reconstruct", stopped)
    before = sorted(Path().iterdir())
    assert run(scans) == 130 and sorted(Path().iterdir()) == before


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["reconstruct", "--help"]) == 0
    said = capsys.readouterr().out
    for option in ("--modality", "--seeds", "--quality", "--resolution", "--faces", "--one-shape",
                   "--center", "--scale", "--up", "--fps", "--no-tracked", "--partial", "--intrinsics"):  # fmt: skip
        assert option in said
