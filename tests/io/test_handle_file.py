"""Handle files: what they say is what is read, and every mistake gets one sentence that names it."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import HandleError
from core.io.handle_file import read_handle_file, write_handle_file
from tests.pipelines.conftest import tube_mesh

MESH = tube_mesh()

GOOD = """
frames: 12
fps: 30
handles:
  - vertex: 3
    keys: {8: [3.1, 3.4, 3.0], 11: [3.3, 3.9, 1e-1]}
    hold: true
    name: nose
  - vertex: 88
    pinned: true
"""


def write(tmp_path, text: str, name: str = "handles.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_handle_file_says_what_it_says(tmp_path):
    tracks = read_handle_file(write(tmp_path, GOOD), MESH)
    nose, pinned = tracks.handles
    assert (tracks.frames, tracks.fps) == (12, 30.0)
    assert (nose.vertex, nose.hold, nose.pinned, nose.name) == (3, True, False, "nose")
    np.testing.assert_allclose(nose.keys[11], [3.3, 3.9, 0.1])
    assert (pinned.vertex, pinned.pinned, dict(pinned.keys)) == (88, True, {})


def test_what_is_written_is_read_again(tmp_path):
    text = (
        GOOD
        + """  - vertex: 20
    keys: {4: [0.1, 0.2, 3.0], 9: [0.2, 0.1, 2.5]}
    pins: [[4, 6]]
    easing: {0: smooth, 4: [overshoot, 0.8]}
    turns: {9: [0, 45, 0]}
    region: [21, 22]
"""
    )
    far = replace(MESH, origin=(512342.0, 5412349.0, 301.0))
    tracks = read_handle_file(write(tmp_path, text), MESH)
    for mesh in (MESH, far):
        write_handle_file(tmp_path / "again.yaml", tracks, mesh)
        again = read_handle_file(tmp_path / "again.yaml", mesh)
        assert (again.frames, again.fps) == (tracks.frames, tracks.fps)
        for one, other in zip(tracks.handles, again.handles, strict=True):
            for name in ("vertex", "hold", "pinned", "name", "pins"):
                assert getattr(one, name) == getattr(other, name)
            assert dict(one.easing) == dict(other.easing) and one.region.tolist() == other.region.tolist()
            assert list(one.keys) == list(other.keys) and list(one.turns) == list(other.turns)
            for frame in one.keys:
                np.testing.assert_allclose(other.keys[frame], one.keys[frame], atol=1e-7 * MESH.size)
    with pytest.raises(HandleError, match="cannot be written"):
        write_handle_file(tmp_path / "again.yaml" / "x.yaml", tracks, MESH)


def test_a_key_may_say_how_it_is_turned(tmp_path):
    turned = read_handle_file(write(tmp_path, GOOD.replace("hold: true", "turns: {11: [0, 45, 0]}")), MESH).handles[0]
    assert list(turned.turns) == [11]
    np.testing.assert_allclose(turned.turns[11], [0, 45, 0])
    with pytest.raises(HandleError, match="a turn at frame 9, where it has no key"):
        read_handle_file(write(tmp_path, GOOD.replace("hold: true", "turns: {9: [0, 45, 0]}")), MESH)


def test_a_region_is_a_distance_or_a_list_of_vertices(tmp_path):
    near = read_handle_file(write(tmp_path, GOOD.replace("hold: true", "region: 0.7")), MESH).handles[0]
    away = np.linalg.norm(MESH.vertices - MESH.vertices[3], axis=1)
    assert near.region.tolist() == [vertex for vertex in np.flatnonzero(away <= 0.7) if vertex != 3]
    named = read_handle_file(write(tmp_path, GOOD.replace("hold: true", "region: [9, 5, 5, 3]")), MESH).handles[0]
    assert named.region.tolist() == [5, 9]
    with pytest.raises(HandleError, match="its region refers to vertices beyond"):
        read_handle_file(write(tmp_path, GOOD.replace("hold: true", "region: [5, 99999]")), MESH)


def test_a_position_is_snapped_to_the_nearest_vertex(tmp_path):
    near = (MESH.vertices[40] + 0.003).tolist()
    text = f"handles:\n  - position: {near}\n    pinned: true\n"
    tracks = read_handle_file(write(tmp_path, text), MESH)
    assert tracks.handles[0].vertex == 40
    assert (tracks.frames, tracks.fps) == (17, 24.0)


def test_the_number_of_frames_can_be_overridden_before_the_check(tmp_path):
    path = write(tmp_path, GOOD)
    assert read_handle_file(path, MESH, frames=40).frames == 40
    with pytest.raises(HandleError, match="frame 11, but frames are 0 to 9"):
        read_handle_file(path, MESH, frames=10)


ENTRY = "handles: [{vertex: 3, %s}]"


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "is empty; it needs 'handles:'"),
        ("- 1\n- 2\n", "no names and values at its top level"),
        ("handles: [", "is not valid YAML near line"),
        ("frames: 5", "it needs 'handles:' with a list"),
        ("handles: {vertex: 3}", "it needs 'handles:' with a list"),
        ("handles: [3]", "handle 1 must contain names and values"),
        ("framse: 5\nhandles: []", "the key 'framse' is unknown; did you mean 'frames'"),
        (ENTRY % "pined: true", "handle 1: the key 'pined' is unknown; did you mean 'pinned'"),
        (ENTRY % "keys: {1: [3, 3, 3]}, keys: {2: [3, 3, 3]}", "'keys' appears twice near line 1"),
        (ENTRY % "keys: {1: [3, 3, 3], 1: [4, 4, 4]}", "'1' appears twice"),
        ("frames: 5.5\nhandles: []", "frames must be a whole number, not 5.5"),
        ("fps: fast\nhandles: []", "fps must be a number, not 'fast'"),
        ("fps: -1\nhandles: []", "-1.0 frames per second is out of range"),
        ("frames: 1\nhandles: []", "frames, 1, is out of range"),
        ("frames: 0\nhandles: []", "frames, 0, is out of range"),
        ("frames: 1001\nhandles: []", "1001, is out of range; give 2 to 1000"),
        ("handles: [{keys: {1: [3, 3, 3]}}]", "either a vertex or a position"),
        (ENTRY % "position: [1, 2, 3], pinned: true", "either a vertex or a position"),
        ("handles: [{position: [1, 2], pinned: true}]", "position needs three numbers"),
        ("handles: [{vertex: nose, pinned: true}]", "vertex must be a whole number, not 'nose'"),
        ("handles: [{vertex: true, pinned: true}]", "vertex must be a whole number, not True"),
        ("handles: [{vertex: 999999, pinned: true}]", "the mesh has vertices 0 to 287 only"),
        ("handles: [{vertex: -1, pinned: true}]", "the mesh has vertices 0 to 287 only"),
        ("handles: [{vertex: 3, pinned: true}, {vertex: 3, pinned: true}]", "already has a handle"),
        (ENTRY % "hold: 3, keys: {1: [3, 3, 3]}", "hold must be true or false, not 3"),
        (ENTRY % "pinned: 'no'", "pinned must be true or false, not 'no'"),
        (ENTRY % "name: 7, pinned: true", "name must be text, not 7"),
        (ENTRY % "hold: true", "it has no keys; add a key or pin it"),
        (ENTRY % "pinned: true, keys: {1: [3, 3, 3]}", "is pinned and has keys"),
        (ENTRY % "keys: [[1, 2, 3]]", "keys must be written as"),
        (ENTRY % "keys: {last: [3, 3, 3]}", "the frame of a key must be a whole number, not 'last'"),
        (ENTRY % "keys: {1: [3, 3]}", "the key at frame 1 needs three numbers"),
        (ENTRY % "keys: {1: [3, 3, up]}", "the key at frame 1 must be a number, not 'up'"),
        (ENTRY % "keys: {1: [3, 3, .nan]}", "the key at frame 1 is not a finite number"),
        (ENTRY % "keys: {1: [3, 3, .inf]}", "the key at frame 1 is not a finite number"),
        (ENTRY % "keys: {1: [3, 3, 1e9]}", "over 100 times the shape's size away"),
        (ENTRY % "keys: {17: [3, 3, 3]}", "its key is at frame 17, but frames are 0 to 16"),
        (ENTRY % "keys: {-1: [3, 3, 3]}", "its key is at frame -1"),
        (ENTRY % "keys: {0: [3, 3, 9]}", "key at frame 0, which always shows the mesh unchanged"),
        ("!!python/object/apply:os.getcwd []", "is not valid YAML"),
        ("handles: [{[1]: 2}]", "not valid YAML|unknown"),
    ],
)
def test_a_mistake_is_named_in_one_sentence(tmp_path, text, sentence):
    with pytest.raises(HandleError, match=sentence) as caught:
        read_handle_file(write(tmp_path, text), MESH)
    message = str(caught.value)
    assert message.startswith("handles.yaml")
    assert "\n" not in message


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(HandleError, match=r"nowhere.yaml cannot be read \(No such file"):
        read_handle_file(tmp_path / "nowhere.yaml", MESH)
    with pytest.raises(HandleError, match="cannot be read"):
        read_handle_file(tmp_path, MESH)
    (tmp_path / "binary.yaml").write_bytes(b"\x80\x81\x00")
    with pytest.raises(HandleError, match=r"cannot be read \(it is not text"):
        read_handle_file(tmp_path / "binary.yaml", MESH)
