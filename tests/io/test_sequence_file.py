"""The .npz sequence file: round trips, and one sentence for every damaged or wrong file."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.errors import MeshError
from core.io.export import export_sequence
from core.io.export_clip import ExportOptions
from core.io.sequence_file import read_sequence
from core.sequence import Handle, HandleTracks, MeshSequence

TRIANGLE = np.array([[0, 1, 2]], dtype=np.int32)


@settings(deadline=None, max_examples=40)
@given(
    vertices=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 5), st.integers(3, 8), st.just(3)), elements=st.floats(-1e9, 1e9, width=32)
    ),
    fps=st.floats(0.1, 1000),
    vertex=st.integers(0, 2),
    key=st.tuples(*[st.floats(-1e6, 1e6)] * 3),
    name=st.text(max_size=8),
)
def test_a_sequence_comes_back_as_it_was(tmp_path_factory, vertices, fps, vertex, key, name):
    out = tmp_path_factory.mktemp("sequences") / "any.npz"
    uv = vertices[0, :, :2]
    handles = HandleTracks((Handle(vertex, {1: np.array(key)}, hold=True, name=name), Handle(2, pinned=True)), 9, fps)
    sequence = MeshSequence(vertices, TRIANGLE, fps, uv, handles, "any")
    export_sequence(sequence, out)
    back = read_sequence(out)
    np.testing.assert_array_equal(back.vertices, vertices)
    np.testing.assert_array_equal(back.faces, TRIANGLE)
    np.testing.assert_array_equal(back.uv, uv)
    assert back.fps == fps and back.name == "any"
    assert (back.handles.frames, back.handles.fps) == (9, fps)
    first, second = back.handles.handles
    assert (first.vertex, first.hold, first.pinned, first.name) == (vertex, True, False, name)
    np.testing.assert_array_equal(first.keys[1], key)
    assert second.pinned and not second.keys


def test_handles_follow_to_the_files_vertices_scale_and_axes(separate, tmp_path):
    vertex = 20
    handles = HandleTracks((Handle(vertex, {4: separate.sequence.vertices[4, vertex]}),), separate.sequence.frames)
    sequence = MeshSequence(separate.sequence.vertices, separate.sequence.faces, handles=handles)
    options = ExportOptions(up_axis="z", scale=100.0)
    export_sequence(sequence, tmp_path / "run.npz", separate.source, options=options)
    back = read_sequence(tmp_path / "run.npz")
    handle = back.handles.handles[0]
    assert separate.source.file_to_vertex[handle.vertex] == vertex
    np.testing.assert_allclose(handle.keys[4], back.vertices[4, handle.vertex], atol=1e-4)


def test_a_cut_sequence_has_no_handles(tmp_path):
    handles = HandleTracks((Handle(0, pinned=True),), 3)
    sequence = MeshSequence(np.zeros((3, 3, 3)), TRIANGLE, handles=handles)
    export_sequence(sequence, tmp_path / "cut.npz", options=ExportOptions(start=1))
    assert read_sequence(tmp_path / "cut.npz").handles is None


def test_a_sequence_file_exports_like_the_sequence_itself(case, tmp_path):
    export_sequence(case.sequence, tmp_path / "run.npz", case.source)
    export_sequence(read_sequence(tmp_path / "run.npz"), tmp_path / "again.mdd", case.source)
    export_sequence(case.sequence, tmp_path / "direct.mdd", case.source)
    assert (tmp_path / "again.mdd").read_bytes() == (tmp_path / "direct.mdd").read_bytes()


def arrays(**changes):
    result = {"vertices": np.zeros((2, 3, 3), np.float32), "faces": TRIANGLE, "fps": np.float64(24)} | changes
    return {name: value for name, value in result.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vertices": None}, "has no 'vertices'"),
        ({"faces": None}, "has no 'faces'"),
        ({"fps": None}, "has no 'fps'"),
        ({"vertices": np.zeros((3, 3))}, "frames x vertices x 3"),
        ({"vertices": np.zeros((0, 3, 3))}, "frames x vertices x 3"),
        ({"vertices": np.full((2, 3, 3), np.nan)}, "not finite"),
        ({"vertices": np.full((2, 3, 3), "a")}, "type <U1"),
        ({"vertices": np.zeros((2, 3, 2))}, "shape"),
        ({"faces": np.array([[0, 1, 3]])}, "outside 0 to 2"),
        ({"faces": np.array([[0, 1, 2**32]])}, "outside 0 to 2"),
        ({"faces": np.array([[0, -1, 2]])}, "outside 0 to 2"),
        ({"faces": np.array([[0.0, 1.0, 2.0]])}, "type float64"),
        ({"fps": np.float64(0)}, "'fps' is not one positive number"),
        ({"fps": np.array([24.0, 25.0])}, "'fps' is not one positive number"),
        ({"uv": np.zeros((4, 2))}, "uv has shape"),
        ({"handles_json": np.array("{")}, "'handles_json' cannot be read"),
        ({"handles_json": np.array(json.dumps({"frames": 3, "fps": 1, "handles": [{"vertex": 0}]}))}, "'handles_json'"),
        ({"handles_json": np.array("[1, 2]")}, "'handles_json'"),
    ],
)
def test_wrong_contents_are_named(tmp_path, changes, words):
    path = tmp_path / "wrong.npz"
    np.savez(path, **arrays(**changes))
    with pytest.raises(MeshError, match=r"wrong\.npz") as caught:
        read_sequence(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickled_objects_are_never_loaded(tmp_path):
    path = tmp_path / "pickled.npz"
    np.savez(path, **arrays(vertices=np.array([{"a": 1}], dtype=object)))
    with pytest.raises(MeshError, match="never opened"):
        read_sequence(path)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_truncation_is_one_sentence(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "cut.npz"
    np.savez(path, **arrays())
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(MeshError, match=r"cut short|is empty"):
        read_sequence(path)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_byte_is_read_right_or_reported(tmp_path_factory, place, change):
    path = tmp_path_factory.mktemp("flip") / "flip.npz"
    np.savez(path, **arrays())
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= change
    path.write_bytes(data)
    try:
        np.testing.assert_array_equal(read_sequence(path).vertices, 0)
    except MeshError as error:
        assert "flip.npz" in str(error)


def test_other_files_and_missing_files(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "array.npy", np.zeros(3))
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    for name in ("text.npz", "empty.npz", "array.npy", "zip.npz"):
        with pytest.raises(MeshError, match=name):
            read_sequence(tmp_path / name)
    with pytest.raises(MeshError, match="does not exist"):
        read_sequence(tmp_path / "nothing.npz")
    with pytest.raises(MeshError, match="is a folder"):
        read_sequence(tmp_path)
