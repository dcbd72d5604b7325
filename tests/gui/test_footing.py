"""Feet that stand, how far they slide, and how fast a motion goes: measured on motions that are known, and shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polyscope.imgui as psim
import pytest

from core.io.mesh.source_mesh import build_source_mesh
from core.pipelines.request import Sample
from core.sequence import MeshSequence, SourceMesh
from m2v_studio.document import commands
from m2v_studio.driver import Driver
from m2v_studio.view.footing import feet_of, footing
from m2v_studio.view.footing_marks import footing_of, speed_height

from .hands import generate

FPS = 10.0


def table() -> SourceMesh:
    """A slab of size 1 on four legs, each a thin box that ends on the ground."""
    vertices, faces = [], []

    def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> None:
        start = len(vertices)
        vertices.extend([(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
        for a, b, c, d in quads:
            faces.extend([(start + a, start + b, start + c), (start + a, start + c, start + d)])

    box((-0.5, 0.5, -0.5), (0.5, 0.6, 0.5))
    for x in (-0.4, 0.4):
        for z in (-0.4, 0.4):
            box((x - 0.02, 0.0, z - 0.02), (x + 0.02, 0.45, z + 0.02))
    return build_source_mesh(np.array(vertices), np.array(faces), name="table")


def moved(steps: np.ndarray) -> Sample:
    """The table with every vertex moved by steps [T, 3]."""
    mesh = table()
    track = (mesh.vertices[None] + steps[:, None]).astype(np.float32)
    return Sample(0, MeshSequence(track, mesh.faces, FPS), 0.0, 0.0, 0.0)


def test_each_leg_is_a_foot() -> None:
    mesh = table()
    feet = feet_of(mesh.vertices, mesh.faces)
    assert len(feet) == 4 and all(mesh.vertices[foot, 1].max() < 0.01 for foot in feet)


def test_what_stands_still_stands_and_does_not_slide() -> None:
    found = footing(moved(np.zeros((6, 3))), table())
    assert found.standing.all() and found.slide == 0 and found.speed == pytest.approx(np.zeros(6))


def test_what_glides_over_the_ground_slides_and_what_flies_does_not() -> None:
    glide = np.linspace(0, 0.5, 6)[:, None] * np.array([1.0, 0.0, 0.0])
    found = footing(moved(glide), table())
    assert found.slide == pytest.approx(0.1 * FPS, rel=0.01)
    assert not found.standing.any()  # too fast
    assert found.speed == pytest.approx(np.full(6, 0.1 * FPS), rel=0.01)
    flight = glide + np.array([0.0, 0.5, 0.0])
    flight[0] = 0.0
    assert footing(moved(flight), table()).slide < 0.02 * found.slide + 1e-6


def test_a_step_is_a_stand_a_swing_and_a_stand() -> None:
    steps = np.zeros((9, 3))
    steps[3:6, 1], steps[3:6, 0] = 0.2, (0.2, 0.4, 0.6)
    steps[6:, 0] = 0.8
    standing = footing(moved(steps), table()).standing
    assert standing[:2].all() and not standing[3:6].any() and standing[7:].all()


def test_the_window_shows_them(driver: Driver) -> None:
    generate(driver)
    state = driver.app.studio.state
    found = footing_of(state, 0)
    assert found is not None and len(found.speed) == state.document.frames
    assert speed_height(state) > 0
    ellipses: list[tuple[float, float]] = []
    original = psim.ImDrawList.AddEllipse

    def watched(canvas: object, at: tuple[float, float], *given: object) -> None:
        ellipses.append(at)
        original(canvas, at, *given)  # type: ignore[arg-type]

    def rings() -> int:
        ellipses.clear()
        driver.tick(1)
        return len(ellipses)

    psim.ImDrawList.AddEllipse = watched  # type: ignore[method-assign, assignment]
    try:
        driver.app.studio.show(commands.set_time, 0.0)
        driver.tick(1)
        assert rings() == int(found.standing[0].sum()) > 0
        driver.app.studio.change_settings(contacts=False)
        assert rings() == 0
    finally:
        psim.ImDrawList.AddEllipse = original  # type: ignore[method-assign]
    assert footing_of(replace(state, results=None), 0) is None


def test_a_long_motion_is_measured_at_fewer_places_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read grows neither with the frames nor with the vertices, so that the window does not wait."""
    steps = np.zeros((60, 3))
    steps[:, 0] = np.linspace(0, 2, 60)
    whole = footing(moved(steps), table())
    monkeypatch.setattr("m2v_studio.view.footing.POSITIONS", 60 * 4 * 2)
    monkeypatch.setattr("m2v_studio.view.footing.LEAST_SOLE", 2)
    few = footing(moved(steps), table())
    np.testing.assert_allclose(few.speed, whole.speed, rtol=1e-4)
    np.testing.assert_array_equal(few.standing, whole.standing)
    assert few.slide == pytest.approx(whole.slide, rel=1e-3) and few.places.shape == whole.places.shape
