"""A second person's first minute: from the start to a GLB file, clicking only what the window offers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.io.mesh.mesh_reader import read_mesh
from m2v_studio.__main__ import open_first
from m2v_studio.document.history import Session
from m2v_studio.document.state import State, next_step
from m2v_studio.driver import Driver, Point

from .hands import button_at

MOST_CLICKS = 7


def test_from_the_start_to_a_moving_file_in_at_most_seven_clicks(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    studio = driver.app.studio
    studio.session = Session(replace(State(), engine="ready"))
    open_first(studio, None)
    driver.until(lambda: studio.state.document.source is not None)
    driver.settle()
    clicks = 0
    press = driver.press

    def counted(button: int = 0) -> None:
        nonlocal clicks
        clicks += 1
        press(button)

    monkeypatch.setattr(driver, "press", counted)
    # At every turn the hint or the highlighted button says what comes next.
    assert next_step(studio.state) == "add_handle"
    head = at_head(driver)
    driver.click(head)
    assert next_step(studio.state) == "drag"
    driver.drag(driver.at_knob(0), (driver.at_knob(0)[0] - 40, driver.at_knob(0)[1] - 70))
    driver.until(lambda: studio.state.results is not None and studio.state.job is None)
    assert next_step(studio.state) == "generate"
    driver.click(button_at(driver, "Generate 4 motions"))
    driver.until(lambda: studio.state.job is None and len(studio.state.results.samples.samples) == 4)  # type: ignore[union-attr]
    assert next_step(studio.state) == "export", "it plays by itself"
    driver.click(button_at(driver, "Export…"))
    driver.tick(3)
    driver.click(button_at(driver, "Export"))
    driver.until(lambda: studio.state.message.startswith("Exported"))
    assert clicks <= MOST_CLICKS
    files = sorted(home.iterdir())
    motion = next(path for path in files if path.suffix == ".glb")
    source = studio.state.document.source
    assert source is not None and motion.name == f"{source.name}-motion.glb"
    assert read_mesh(motion).vertices.shape == source.vertices.shape
    data = motion.read_bytes()
    document = json.loads(data[20 : 20 + int(np.frombuffer(data[12:16], np.uint32)[0])])
    assert document["animations"], "it moves"
    assert studio.state.notice is None


def at_head(driver: Driver) -> Point:
    """The point of the creature furthest to the right on the screen, a little inside it."""
    viewport, source = driver.app.viewport, driver.app.studio.state.document.source
    assert viewport.projection is not None and viewport.norm is not None and source is not None
    pixels, _ = viewport.projection.project(viewport.norm.apply(source.vertices))
    tip = pixels[np.argmax(pixels[:, 0])]
    return float(tip[0]) - 12.0, float(tip[1])
