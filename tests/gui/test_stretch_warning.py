"""A motion that stretches much is marked in the table and named below it."""

from __future__ import annotations

from dataclasses import replace

import polyscope.imgui as psim
import pytest

from core.pipelines.request import SampleSet
from m2v_studio.driver import Driver
from m2v_studio.view import theme
from m2v_studio.view.style import rgba

from .hands import generate


def test_what_stretches_much_is_marked_and_named(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    state = generate(driver)
    assert state.results is not None and isinstance(state.results.samples, SampleSet)
    first, *others = state.results.samples.samples
    stretched = replace(state.results.samples, samples=(replace(first, stretch=0.08), *others))
    driver.app.studio.show(lambda now: replace(now, results=replace(state.results, samples=stretched)))
    driver.settle()
    red: list[str] = []
    original = psim.TextColored
    danger = rgba(theme.DANGER)
    monkeypatch.setattr(
        psim, "TextColored", lambda ink, text: (ink == danger and red.append(text), original(ink, text))
    )
    said: list[str] = []
    wrapped = psim.TextUnformatted
    monkeypatch.setattr(psim, "TextUnformatted", lambda text: (said.append(text), wrapped(text)))
    driver.tick(1)
    assert red == ["stretch 8.0 %"]
    assert any(text.startswith("Seed 0 stretches the mesh more than") for text in said + red)
