"""What the tests of the window do again and again."""

from __future__ import annotations

import numpy as np
import polyscope.imgui as psim

from m2v_studio.document import commands
from m2v_studio.document.state import State
from m2v_studio.driver import Driver, Point
from m2v_studio.panels.generate import GENERATE_HEIGHT
from m2v_studio.view.keymap import KEYS, Chord

CTRL, SHIFT = psim.ImGuiMod_Ctrl, psim.ImGuiMod_Shift


class Hands(Driver):
    """A driver that also types: chords, and texts into fields."""

    def press_keys(self, chord: str) -> None:
        """Press keys written as in "Ctrl+Shift+Z"."""
        keys = Chord.parse(chord)
        self.key(KEYS[keys.key], *(self.modifier(name) for name in sorted(keys.modifiers)))

    def type_into(self, at: Point, text: str, enter: bool = True) -> None:
        """Ctrl+click a number field, or click a text field, and type over what is in it."""
        self.move(at)
        self.hold(self.modifier("Ctrl"), True)
        self.press()
        self.release()
        self.key(KEYS["A"])
        self.hold(self.modifier("Ctrl"), False)
        self.type(text)
        if enter:
            self.key(KEYS["Enter"])
            self.tick()

    def at_key(self, row: int, frame: float) -> Point:
        """Where a frame of a handle's row is in the timeline."""
        strip = self.app.timeline.strip
        assert strip is not None
        return strip.x_of(frame), strip.middle_of(row)


def front_vertex(driver: Driver, rank: int = 0) -> int:
    """A vertex in the middle of what the camera sees; higher ranks are further from it."""
    source = driver.app.studio.state.document.source
    assert source is not None and driver.app.viewport.norm is not None
    shape = driver.app.viewport.norm.apply(source.vertices)
    return int(np.argsort(-(shape @ driver.app.viewport.camera.axes()[2]))[rank])


def add_and_drag(driver: Driver, by: tuple[float, float] = (60.0, -80.0)) -> int:
    vertex = front_vertex(driver)
    driver.click(driver.at_vertex(vertex))
    start = driver.at_knob(0)
    driver.drag(start, (start[0] + by[0], start[1] + by[1]))
    return vertex


def finish(driver: Driver) -> State:
    studio = driver.app.studio
    driver.until(lambda: studio.state.job is None and studio.state.results is not None)
    return studio.state


def generate(driver: Driver) -> State:
    add_and_drag(driver)
    finish(driver)
    driver.key(psim.ImGuiKey_Enter, CTRL)
    driver.until(lambda: len(driver.app.studio.state.results.samples.samples) == 4)  # type: ignore[union-attr]
    finish(driver)
    return rest(driver)


def rest(driver: Driver) -> State:
    """Let the motion stand still: a frame in which nothing moves costs a tenth of one that must be drawn anew."""
    driver.app.studio.show(commands.with_view, playing=False)
    driver.settle()
    return driver.app.studio.state


def button_at(driver: Driver, label: str) -> tuple[float, float]:
    """Where the middle of a button is."""
    (left, top), (right, bottom) = drawn_at(driver, label)
    return (left + right) / 2, (top + bottom) / 2


def drawn_at(driver: Driver, label: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """The corners of a button, read off while a frame is drawn."""
    found: list[tuple[tuple[float, float], tuple[float, float]]] = []
    original = psim.Button

    def watched(text: str, *arguments: object) -> bool:
        pressed = original(text, *arguments)  # type: ignore[arg-type]
        if text.split("##")[0] == label:
            found.append((psim.GetItemRectMin(), psim.GetItemRectMax()))
        return bool(pressed)

    psim.Button = watched  # type: ignore[assignment]
    try:
        driver.tick(1)
    finally:
        psim.Button = original  # type: ignore[assignment]
    assert found, f"no button {label!r} is drawn"
    return found[-1]


def field_at(driver: Driver, name: str, kind: str = "") -> tuple[tuple[float, float], tuple[float, float]]:
    """The corners of a number field or list, by its name in `fields.number` or its identifier in Dear ImGui."""
    from m2v_studio.view import fields

    found: list[tuple[tuple[float, float], tuple[float, float]]] = []
    where, what = (psim, kind) if kind else (fields, "Edited")
    original = getattr(where, what)
    names: list[str] = []
    number = fields.number

    def watched_number(label: str, *given: object) -> object:
        names.append(label)
        return number(label, *given)  # type: ignore[arg-type]

    def watched(*given: object) -> object:
        result = original(*given)
        if (given[0] if kind else names[-1:] and names[-1]) == name:
            found.append((psim.GetItemRectMin(), psim.GetItemRectMax()))
        return result

    patched = [(where, what, watched)] if kind else [(where, what, watched), (fields, "number", watched_number)]
    kept = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in patched]
    for owner, attribute, value in patched:
        setattr(owner, attribute, value)
    try:
        driver.tick(1)
    finally:
        for owner, attribute, value in kept:
            setattr(owner, attribute, value)
    assert found, f"no field {name!r} is drawn"
    (left, top), (_, bottom) = found[0]
    if _scrolled(driver, left, top, bottom):
        return field_at(driver, name, kind)
    return found[0]


def _scrolled(driver: Driver, left: float, top: float, bottom: float) -> bool:
    """Turn the wheel over the left panel when what is wanted there is not in sight; True when it was turned."""
    panel = driver.app._regions(*driver.app._window())["left"]
    end = panel.y + panel.height - GENERATE_HEIGHT - 12.0
    if left > panel.width or panel.y < top < bottom <= end:
        return False
    driver.move((panel.x + 30.0, end - 10.0))
    driver.wheel(-1.0 if bottom >= end else 1.0)
    return True


def middle(corners: tuple[tuple[float, float], tuple[float, float]]) -> tuple[float, float]:
    (left, top), (right, bottom) = corners
    return (left + right) / 2, (top + bottom) / 2


def radio_at(driver: Driver, label: str) -> tuple[float, float]:
    """Where the middle of a radio button is."""
    found: list[tuple[tuple[float, float], tuple[float, float]]] = []
    original = psim.RadioButton

    def watched(text: str, *given: object) -> bool:
        pressed = original(text, *given)  # type: ignore[call-overload]
        if text == label:
            found.append((psim.GetItemRectMin(), psim.GetItemRectMax()))
        return bool(pressed)

    psim.RadioButton = watched  # type: ignore[assignment]
    try:
        driver.tick(1)
    finally:
        psim.RadioButton = original  # type: ignore[assignment]
    assert found, f"no radio button {label!r} is drawn"
    return middle(found[-1])


def item_at(driver: Driver, kind: str, name: str) -> tuple[float, float]:
    """The middle of what Dear ImGui's `kind` draws under this name, read off while a frame is drawn."""
    found: list[tuple[float, float]] = []
    original = getattr(psim, kind)

    def watched(label: str, *given: object) -> object:
        result = original(label, *given)
        if label == name:
            found.append(middle((psim.GetItemRectMin(), psim.GetItemRectMax())))
        return result

    setattr(psim, kind, watched)
    try:
        driver.tick(1)
    finally:
        setattr(psim, kind, original)
    assert found, f"no {kind} {name!r} is drawn"
    return found[-1]
