"""Light and dark: everything changes colour at once, the ground still fades into the background, and it is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from m2v_studio.document.settings import load_settings
from m2v_studio.driver import Driver
from m2v_studio.view import theme


def pixels(driver: Driver, folder: Path) -> np.ndarray:
    with Image.open(driver.screenshot(folder / "window.png", fine=False)) as picture:
        return np.asarray(picture.convert("RGB"), float) / 255


def test_the_dark_theme_is_dark_everywhere_and_goes_again(driver: Driver, tmp_path: Path) -> None:
    light = pixels(driver, tmp_path)
    driver.app.studio.change_settings(theme="dark")
    try:
        driver.tick(2)
        dark = pixels(driver, tmp_path)
        region = driver.app.region
        at = round(region.y + 12), round(region.x + region.width - 30)
        assert dark[at] == pytest.approx(theme.PALETTES["dark"].background, abs=0.02)
        assert dark.mean() < 0.35 < light.mean()
        assert load_settings().theme == "dark"
    finally:
        driver.app.studio.change_settings(theme="light")
        driver.tick(2)
    assert np.abs(pixels(driver, tmp_path) - light).max() < 0.02


@pytest.mark.parametrize("name", sorted(theme.PALETTES))
def test_text_can_be_read(name: str) -> None:
    palette = theme.PALETTES[name]
    for ground in (palette.panel, palette.panel_deep, palette.card, palette.button, palette.field):
        assert contrast(palette.text, ground) > 7
        assert contrast(palette.text_muted, ground) > 3.9
    assert contrast(palette.accent, palette.accent_soft) > 3.5
    assert contrast((1.0, 1.0, 1.0), palette.accent) > 3.5
    assert contrast(palette.danger, palette.panel) > 4


def contrast(a: theme.Color, b: theme.Color) -> float:
    """The ratio of the Web Content Accessibility Guidelines."""
    lights = sorted(0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 for red, green, blue in (a, b))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_a_colour_that_no_theme_has_is_an_error() -> None:
    with pytest.raises(AttributeError, match="MAUVE"):
        theme.MAUVE  # noqa: B018
