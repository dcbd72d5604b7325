"""Films: what they show, how they are framed and lit, and what they leave behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from core.errors import Cancelled, ExportError
from core.io.appearance import Appearance
from m2v_studio.render.film_process import run_film
from m2v_studio.render.filming import grid, joined, name_tag, named
from m2v_studio.render.framing import frame_motion
from m2v_studio.render.shot import Actor, FilmOptions, moments
from m2v_studio.render.soft_light import SoftLight
from tests.drawing import skip_without_drawing

SMALL = FilmOptions(width=160, height=96)


def ball(frames: int = 3) -> Actor:
    """A red ball that rises by its own height."""
    shape = trimesh.creation.icosphere(subdivisions=3)
    lift = np.linspace(0.0, 2.0, frames)[:, None, None] * np.array([0.0, 1.0, 0.0])
    return Actor((shape.vertices + lift).astype(np.float32), np.asarray(shape.faces, np.int32), color=(0.8, 0.1, 0.1))


def ball_in_glass(opacity: float) -> Actor:
    """A red ball in the middle of a blue one, of which so much is there."""
    shape = trimesh.creation.icosphere(subdivisions=3)
    count = len(shape.faces)
    faces = np.concatenate([shape.faces, shape.faces + len(shape.vertices)]).astype(np.int32)
    colors = np.repeat(np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.8]], np.float32), count, axis=0)
    share = np.repeat(np.array([1.0, opacity], np.float32), count)
    looks = Appearance(face_colors=colors, opacity=None if opacity == 1 else share)
    return Actor(np.concatenate([0.4 * shape.vertices, shape.vertices])[None].astype(np.float32), faces, looks=looks)


def film(actors: tuple[Actor, ...], out: Path, options: FilmOptions) -> None:
    try:
        run_film(actors, out, options)
    except ExportError:
        skip_without_drawing()
        raise


def red(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGBA"), float)
    return (pixels[..., 0] > pixels[..., 1] + 60) & (pixels[..., 3] > 128)


def test_a_motion_plays_there_and_back_and_turns_once() -> None:
    actor = ball(4)
    assert [m.frame for m in moments((actor,), FilmOptions(bounce=True))] == [0, 1, 2, 3, 2, 1]
    turning = moments((actor,), FilmOptions(turntable=1.0))
    assert len(turning) == 24 and turning[0].turn == 0 and turning[-1].turn == 345
    assert [m.frame for m in turning[:5]] == [0, 1, 2, 3, 0]
    with pytest.raises(ExportError, match="repeat it fewer"):
        moments((ball(200),), FilmOptions(repeat=100))


@pytest.mark.parametrize("turning", [False, True])
def test_every_point_of_the_motion_is_in_the_picture(turning: bool) -> None:
    rng = np.random.default_rng(0)
    track = (rng.random((5, 300, 3)) * [3.0, 1.0, 0.4]).astype(np.float32) - [1.5, 0.0, 0.2]
    eye = frame_motion([track], 20.0, (640, 360), turning)
    angles = np.radians(np.arange(0, 360, 15 if turning else 360))
    for angle in angles:
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        seen = (track.reshape(-1, 3) @ turn.T) @ eye.view[:3, :3].T + eye.view[:3, 3]
        x, y = (eye.focal * seen[:, axis] / -seen[:, 2] for axis in (0, 1))
        assert np.abs(x).max() <= 320 and np.abs(y).max() <= 180
    assert turning or max(np.abs(x).max() / 320, np.abs(y).max() / 180) > 0.75


def test_what_stands_below_something_is_darker() -> None:
    shape = trimesh.creation.icosphere(subdivisions=3)
    vertices = (shape.vertices * 0.5 + [0.0, 0.5, 0.0]).astype(np.float32)
    light = SoftLight(vertices, np.asarray(shape.faces, np.int32))
    ground = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]], np.float32)
    body, floor = light.on(vertices, shape.vertex_normals.astype(np.float32), ground, 1.0)
    assert floor[0].mean() < 0.25 and floor[1] == pytest.approx([1.0, 1.0, 1.0], abs=0.02)
    top, bottom = vertices[:, 1].argmax(), vertices[:, 1].argmin()
    assert body[top].mean() > 2 * body[bottom].mean()


def test_a_film_follows_the_motion(tmp_path: Path) -> None:
    film((ball(),), tmp_path / "film", SMALL)
    files = sorted((tmp_path / "film").iterdir())
    assert len(files) == 3 and Image.open(files[0]).size == (160, 96)
    heights = [np.flatnonzero(red(file).any(axis=1)).mean() for file in files]
    assert heights[0] > heights[1] > heights[2]
    assert heights[0] < 96 * 0.95  # not cut off


def test_a_transparent_film_has_the_figure_and_its_shadow_alone(tmp_path: Path) -> None:
    film((ball(1),), tmp_path / "film", FilmOptions(width=160, height=96, transparent=True))
    with Image.open(tmp_path / "film" / "frame_0000.png") as picture:
        pixels = np.asarray(picture)
    assert picture.mode == "RGBA" and (pixels[:5, :5, 3] == 0).all() and pixels[..., 3].max() == 255
    shadow = (pixels[..., 3] > 40) & (pixels[..., 3] < 230) & (pixels[..., :3].max(axis=-1) < 40)
    assert shadow.sum() > 20


def test_glass_is_seen_through_and_holds_up_only_its_share_of_the_light(tmp_path: Path) -> None:
    for name, opacity in (("glass", 0.3), ("solid", 1.0)):
        film((ball_in_glass(opacity),), tmp_path / name, FilmOptions(width=160, height=96, transparent=True))
    pictures = [np.asarray(Image.open(tmp_path / name / "frame_0000.png"), float) for name in ("glass", "solid")]
    body = pictures[1][..., 2] > 100
    rows, columns = (int(np.flatnonzero(body.any(axis=axis)).mean()) for axis in (1, 0))
    glass, solid = (picture[rows, columns] for picture in pictures)
    assert glass[0] > glass[2] + 40 and glass[3] == 255  # the ball inside
    assert solid[2] > solid[0] + 60
    beside = pictures[0][rows, int(np.flatnonzero(body[rows]).min()) + 5]
    assert beside[2] > beside[0] + 40 and 100 < beside[3] < 160  # two walls of 0.3: 0.51
    ball, faces = ball_in_glass(0.3).track[0] / 2 + [0.0, 0.5, 0.0], ball_in_glass(0.3).faces
    below = np.array([[0.0, 0.0, 0.0]], np.float32)
    floors = [SoftLight(ball, faces, share).on(ball, 0 * ball, below, 1.0)[1].mean() for share in
              (None, ball_in_glass(0.3).looks.opacity, np.zeros(len(faces), np.float32))]  # fmt: skip
    assert floors[0] + 0.3 < floors[1] < floors[2] - 0.1 and floors[2] == pytest.approx(1.0, abs=0.01)


def test_several_stand_side_by_side_with_their_names(tmp_path: Path) -> None:
    film((ball(), ball(2)), tmp_path / "film.gif", FilmOptions(width=200, height=80))
    with Image.open(tmp_path / "film.gif") as made:
        assert made.size == (200, 80) and made.n_frames >= 2
        first = np.asarray(made.convert("RGB"), float)
    found = first[..., 0] > first[..., 1] + 60
    assert found[:, :100].any() and found[:, 100:].any()
    assert grid(4, 1280, 720) == (2, 2) and grid(3, 1200, 300) == (3, 1)
    ink = name_tag("seed 0", (200, 80))
    plain = np.ones((80, 200, 3), np.float32)
    assert named(plain, ink)[70:].min() < 0.5 and named(plain, ink)[:40].min() == 1
    assert joined([plain, plain, plain], 2, 2).shape == (160, 400, 3)


def test_a_film_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise Cancelled

    try:
        with pytest.raises(Cancelled):
            run_film((ball(40),), tmp_path / "film.mp4", SMALL, stop)
    except ExportError:
        skip_without_drawing()
        raise
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_possible_is_said_in_a_sentence() -> None:
    for options in (FilmOptions(width=10), FilmOptions(pitch=-5), FilmOptions(fps=0.0), FilmOptions(turntable=-1)):
        with pytest.raises(ExportError):
            options.validate()
    with pytest.raises(ExportError, match="PNG"):
        FilmOptions(transparent=True).validate(transparent_possible=False)
