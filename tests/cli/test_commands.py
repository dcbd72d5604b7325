"""The m2v command: exit codes, what is written, and one sentence for every kind of bad input."""

import json
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest

from core.cli import command_line as cli
from core.io.sequence_file import read_sequence
from core.pipelines import animate as pipeline
from tests.cli.conftest import STAGES
from tests.pipelines.conftest import tube


def obj_text(vertices=None, faces=None) -> str:
    own_vertices, own_faces = tube(rings=10, around=8)
    vertices = own_vertices if vertices is None else vertices
    faces = own_faces if faces is None else faces
    lines = [f"v {x} {y} {z}" for x, y, z in np.asarray(vertices).tolist()]
    return "\n".join([*lines, *(f"f {a + 1} {b + 1} {c + 1}" for a, b, c in np.asarray(faces).tolist())]) + "\n"


HANDLES = "frames: 5\nhandles:\n  - {vertex: 79, keys: {4: [1.9, 0.4, 0.2]}}\n  - {vertex: 0, pinned: true}\n"


@pytest.fixture
def place(tmp_path, weights, monkeypatch):
    """A folder with a mesh and its handles, and the usual arguments."""
    (tmp_path / "tube.obj").write_text(obj_text())
    (tmp_path / "handles.yaml").write_text(HANDLES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("M2V_DEBUG", "0")
    return tmp_path


def animate(weights, *more: str, source: str = "tube.obj", handles: str = "handles.yaml", out: str = "out.npz") -> int:
    return cli.main(
        ["animate", source, "--handles", handles, "--out", out, "--preset", str(weights), "--device", "cpu", *more]
    )


def files(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_one_seed_writes_the_output_itself(place, weights, capsys):
    before = files(place)
    assert animate(weights, "--seeds", "1") == 0
    assert capsys.readouterr().out.split() == ["out.npz"]
    assert files(place) - before >= {"out.npz"}
    sequence = read_sequence(place / "out.npz")
    assert sequence.vertices.shape == (5, 80, 3)
    np.testing.assert_allclose(sequence.vertices[4, 79], [1.9, 0.4, 0.2], atol=1e-5)
    np.testing.assert_array_equal(sequence.vertices[:, 0], sequence.vertices[[0] * 5, 0])


def test_several_seeds_are_numbered(place, weights, capsys):
    assert animate(weights, "--seeds", "2", "--seed", "3", "--frames", "7", out="new/fox.npz") == 0
    assert capsys.readouterr().out.split() == ["new/fox-seed3.npz", "new/fox-seed4.npz"]
    assert read_sequence(place / "new" / "fox-seed4.npz").frames == 7


def test_a_sequence_can_be_exported_again(place, weights, capsys):
    assert animate(weights, "--quality", "draft") == 0
    assert cli.main(["export", "out.npz", "again.glb", "--source", "tube.obj", "--fps", "12"]) == 0
    assert (place / "again.glb").read_bytes()[:4] == b"glTF"
    assert cli.main(["export", "out.npz", "frames.obj/"]) == 0
    assert (place / "frames.obj").is_dir()
    assert cli.main(["export", "missing.npz", "x.glb"]) == 2
    assert cli.main(["export", "out.npz", "x.fbx"]) == 2


def glb(length: int) -> bytes:
    text = json.dumps({"asset": {"version": "2.0"}}).encode().ljust(32)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    return (b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body)[:length]


VERTICES, FACES = tube(rings=10, around=8)
BAD_MESHES = {
    "missing.obj": (None, "does not exist"),
    "empty.obj": (b"", "is empty"),
    "cut.glb": (glb(30), "cut short"),
    "cut.ply": (b"ply\nformat ascii 1.0\nelement vertex 3\n", "cut short"),
    "picture.obj": (b"\x89PNG\r\n\x1a\n" + bytes(50), "holds .png data"),
    "mesh.docx": (b"text", "is not a mesh file"),
    "nofaces.obj": (obj_text(faces=[]).encode(), "no faces"),
    "nan.obj": (
        obj_text(vertices=np.where(np.arange(80)[:, None] == 5, np.nan, VERTICES)).encode(),
        "not a finite|nan",
    ),
    "point.obj": (obj_text(vertices=np.ones((80, 3))).encode(), "no size"),
}


def assert_refused(capsys, code: int, sentence: str, before: set[str], folder) -> None:
    import re

    error = capsys.readouterr().err.strip()
    assert code == 2, error
    assert re.search(sentence, error), error
    assert len(error.splitlines()) == 1 and "Traceback" not in error
    assert files(folder) == before, "nothing may be left behind"


@pytest.mark.parametrize("name", BAD_MESHES)
def test_a_bad_mesh_is_one_sentence(place, weights, capsys, name):
    content, sentence = BAD_MESHES[name]
    if content is not None:
        (place / name).write_bytes(content)
    before = files(place)
    assert_refused(capsys, animate(weights, source=name), sentence, before, place)


@pytest.mark.parametrize(
    "handles, sentence",
    [
        ("handles: [{vertex: 80, pinned: true}]", "the mesh has vertices 0 to 79 only"),
        ("handles: [{vertex: 3, keys: {17: [0, 0, 0]}}]", "key is at frame 17, but frames are 0 to 16"),
        ("handles: [{vertex: 3, keys: {2: [0, .nan, 0]}}]", "not a finite number"),
        ("handles: [{vertex: 3, keys: {2: [0, 1e12, 0]}}]", "100 times"),
        ("handles: [{vertex: 3, pinned: true}, {vertex: 3, pinned: true}]", "already has a handle"),
        ("handels: []", "'handels' is unknown; did you mean 'handles'"),
        ("frames: 0\nhandles: []", "frames, 0, is out of range"),
        ("frames: 1\nhandles: []", "frames, 1, is out of range"),
        ("", "is empty"),
    ],
)
def test_bad_handles_are_one_sentence(place, weights, capsys, handles, sentence):
    (place / "bad.yaml").write_text(handles)
    before = files(place)
    assert_refused(capsys, animate(weights, handles="bad.yaml"), sentence, before, place)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--frames", "1"], "frames, 1, is out of range"),
        (["--frames", "1001"], "2 to 1000"),
        (["--frames", "3"], "key is at frame 4"),
        (["--seeds", "0"], "0 seeds is out of range"),
        (["--quality", "great"], "Unknown quality 'great'; choose draft, normal, best"),
        (["--steps", "0"], "0 sampler steps"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--preset", "huge"], "no checkpoint at .*huge"),
    ],
)
def test_bad_options_are_one_sentence(place, weights, capsys, arguments, sentence):
    before = files(place)
    assert_refused(capsys, animate(weights, *arguments), sentence, before, place)


@pytest.mark.parametrize(
    "out, sentence",
    [
        ("out", "must end in one of"),
        ("out.fbx", "must end in one of"),
        ("tube.obj/frames.glb", "cannot be written"),
        ("/proc/nowhere/out.glb", "cannot be written"),
        ("folder.glb", "is a folder"),
        ("folder.glb/x.ply/y/z.obj", "cannot be written|ends"),
    ],
)
def test_an_output_that_cannot_be_written_is_found_before_sampling(place, weights, capsys, monkeypatch, out, sentence):
    monkeypatch.setattr(pipeline.Animator, "load", None)  # calling it would be a fault, exit code 1
    (place / "folder.glb").mkdir()
    (place / "folder.glb" / "x.ply").write_text("a file, so nothing fits below it")
    before = files(place)
    assert_refused(capsys, animate(weights, out=out), sentence, before, place)


def damaged(folder, weights, change):
    for stage in STAGES:
        content = (weights / f"{stage}.safetensors").read_bytes()
        (folder / f"{stage}.safetensors").write_bytes(change(content) if stage == "motion-diffusion" else content)
    return folder


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda content: content[:200], "damaged or not a checkpoint"),
        (lambda content: content[:-50], "damaged or not a checkpoint"),
        (lambda content: b"", "damaged or not a checkpoint"),
        (lambda content: content.replace(b'"version":"1"', b'"version":"9"'), "version 9, but this program reads"),
        (lambda content: content.replace(b"m2v-checkpoint", b"xyz-checkpoint"), "is not an m2v checkpoint"),
        (
            lambda content: content.replace(b'\\"sigma_max\\"', b'\\"sigma_mix\\"'),
            "sigma_mix' is unknown; did you mean",
        ),
    ],
)
def test_a_bad_checkpoint_is_one_sentence(place, weights, capsys, tmp_path_factory, change, sentence):
    folder = damaged(tmp_path_factory.mktemp("damaged"), weights, change)
    before = files(place)
    assert_refused(capsys, animate(folder), sentence, before, place)
    assert cli.main(["info", str(folder / "motion-diffusion.safetensors")]) == 2


def test_info_shows_configuration_and_training(place, weights, capsys):
    assert cli.main(["info", str(weights / "motion-diffusion.safetensors")]) == 0
    text = capsys.readouterr().out
    assert "motion_denoiser.frames_per_token" in text and "float16" in text and "loss 0.25" in text
    assert cli.main(["info", str(weights)]) == 0
    assert "shape-autoencoder" in capsys.readouterr().out
    assert cli.main(["info", "paper"]) == 0
    assert cli.main(["info", "nothing"]) == 2
    assert "presets are" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["animate"], ["animate", "a.obj"], ["export", "a.npz"]])
def test_wrong_usage_exits_2(capsys, arguments):
    assert cli.main(arguments) == 2
    assert "usage: m2v" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["animate", "reconstruct", "bench", "export", "info", "demo", "prepare", ""])
def test_help_needs_no_heavy_import(command):
    """--help of every own command answers without torch, and exits 0."""
    code = f"import sys; from core.cli import main; c = main({[*command.split(), '--help']!r}); "
    code += "assert not {'torch', 'scipy', 'trimesh', 'pxr', 'polyscope'} & set(sys.modules); sys.exit(c)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: m2v" in done.stdout


def test_train_and_evaluate_are_passed_on(capsys):
    assert cli.main(["train", "--help"]) == 0
    assert "usage: m2v train" in capsys.readouterr().out
    assert cli.main(["train", "all", "--config", "tiny"]) == 2
    assert "--minutes" in capsys.readouterr().err
    assert cli.main(["evaluate", "--help"]) == 0
    assert cli.main(["evaluate", "nothing", "--out", "x.json"]) == 2


def test_a_mesh_that_seems_to_stand_on_z_is_pointed_out(place, weights, capsys):
    """An STL says nothing about its up axis; a wrong one gives a worse motion, so a person is asked."""
    import trimesh

    vertices = VERTICES[:, [1, 2, 0]]  # along z
    trimesh.Trimesh(vertices - [0, 0, vertices[:, 2].min()], FACES, process=False).export(place / "tube.stl")
    (place / "none.yaml").write_text("handles: []")
    assert animate(weights, "--quality", "draft", source="tube.stl", handles="none.yaml") == 0
    assert "give --up z" in capsys.readouterr().err
    assert animate(weights, "--quality", "draft", "--up", "z", source="tube.stl", handles="none.yaml") == 0
    assert "--up" not in capsys.readouterr().err


def test_preparing_needs_rigs(place, capsys):
    assert cli.main(["prepare", "rigs", "nowhere", "bank.safetensors"]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert cli.main(["prepare", "cups", "nowhere", "bank.safetensors"]) == 2


def test_ctrl_c_exits_130_and_leaves_nothing(place, weights, capsys, monkeypatch):
    def interrupted(*_arguments, **_options):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(pipeline, "sample_motion", interrupted)
    before = files(place)
    assert animate(weights) == 130
    assert "Interrupted" in capsys.readouterr().err
    assert files(place) == before


def test_a_fault_exits_1_and_shows_its_place_only_when_asked(place, weights, capsys, monkeypatch):
    def broken(*_arguments, **_options):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(pipeline, "sample_motion", broken)
    assert animate(weights) == 1
    error = capsys.readouterr().err
    assert "a fault in it (ZeroDivisionError: oh)" in error and "Traceback" not in error
    monkeypatch.setenv("M2V_DEBUG", "1")
    assert animate(weights) == 1
    assert "Traceback" in capsys.readouterr().err


def test_rig(tmp_path, capsys) -> None:
    from core.io.export import export_sequence
    from core.io.gltf.scene import GltfScene
    from tests.rigging.bent_tube import bent_tube

    names = [str(export_sequence(bent_tube(phase=p), tmp_path / f"{name}.npz")[0]) for name, p in (("a", 0), ("b", 1))]
    out = tmp_path / "rig.glb"
    assert cli.main(["rig", *names, str(out), "--bones", "3", "--scale", "2"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out) and said.err.strip().startswith("3 bones and")
    scene = GltfScene(out)
    assert scene.clip_names == ("a", "b")
    assert np.ptp(scene.rest, axis=0).max() == pytest.approx(6, rel=1e-4)
    assert cli.main(["rig", *names, str(tmp_path / "rig.pc2")]) == 2
    assert "cannot hold bones" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz", "rig.glb"]
    # The clips of an animated file, here the rig itself, are motions too, and it gives the looks.
    again = tmp_path / "again.usda"
    assert cli.main(["rig", str(out), str(again), "--bones", "3"]) == 0
    assert capsys.readouterr().err.strip().startswith("3 bones and") and again.stat().st_size > 1000
