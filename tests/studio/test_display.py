"""Text is as large as the desktop asks for, on the first start."""

from __future__ import annotations

import sys

import pytest

from m2v_studio.work.display import display_scale, dots_per_inch


def test_dots_per_inch_are_read_from_the_displays_resources() -> None:
    assert dots_per_inch("Xcursor.size:\t24\nXft.dpi:\t192\nXft.hinting:\t1\n") == 192.0
    assert dots_per_inch("") == 96.0


@pytest.mark.skipif(sys.platform != "linux", reason="only a Linux desktop sets a scale this way")
def test_the_desktops_own_variable_counts_and_stays_within_what_the_menu_offers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("m2v_studio.work.display._x_resources", lambda: "")
    for named, scale in (("2", 2.0), ("1.3", 1.25), ("9", 2.0), ("0.5", 1.0), ("large", 1.0)):
        monkeypatch.setenv("GDK_SCALE", named)
        assert display_scale() == scale
    monkeypatch.delenv("GDK_SCALE")
    monkeypatch.delenv("GDK_DPI_SCALE", raising=False)
    assert display_scale() == 1.0


@pytest.mark.skipif(sys.platform != "linux", reason="only a Linux desktop sets a scale this way")
def test_dense_displays_and_the_desktops_variables_are_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Xft.dpi, GDK_SCALE and GDK_DPI_SCALE multiply, as in GTK; 2, 2 and a half are still 2."""
    monkeypatch.setattr("m2v_studio.work.display._x_resources", lambda: "Xft.dpi:\t192\n")
    for variable in ("GDK_SCALE", "GDK_DPI_SCALE"):
        monkeypatch.delenv(variable, raising=False)
    assert display_scale() == 2.0
    monkeypatch.setenv("GDK_DPI_SCALE", "0.5")
    assert display_scale() == 1.0
    monkeypatch.setenv("GDK_SCALE", "2")
    assert display_scale() == 2.0


@pytest.mark.skipif(sys.platform != "linux", reason="only a Linux desktop sets a scale this way")
def test_without_a_display_nothing_is_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DISPLAY", "GDK_SCALE", "GDK_DPI_SCALE"):
        monkeypatch.delenv(variable, raising=False)
    assert display_scale() == 1.0
