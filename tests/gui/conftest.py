"""One real window for the whole test run (Polyscope can be opened once per process), a fresh document per test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from m2v_studio.document import commands
from m2v_studio.document.history import Session
from m2v_studio.document.settings import Settings
from m2v_studio.document.state import State

from ..drawing import skip_without_drawing
from ..studio.fake_animator import FakeAnimator
from ..studio.shapes import ball

WINDOW = (1040, 660)


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The name of a display that nobody looks at, and the file that holds its pixels."""
    if any(shutil.which(name) is None for name in ("Xvfb", "xdotool")):
        pytest.skip("needs Xvfb and xdotool")
    from .real_hands import xvfb

    with xvfb(tmp_path_factory.mktemp("screen")) as display:
        yield display


@pytest.fixture(scope="session")
def _window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    patch = pytest.MonkeyPatch()
    patch.setenv("M2V_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
    from m2v_studio.app import App
    from m2v_studio.studio import Studio

    from .hands import Hands
    from .unseen import fill_only_what_is_read

    animator = FakeAnimator()
    studio = Studio(lambda: animator, isolate=False)
    try:
        app = App(studio, "openGL3_egl", WINDOW)
    except RuntimeError:
        skip_without_drawing()
        raise
    fill_only_what_is_read(patch)
    driver = Hands(app)
    driver.animator = animator  # type: ignore[attr-defined]
    studio.worker.start()
    driver.until(lambda: studio.state.engine == "ready")
    yield driver
    app.close()
    patch.undo()


@pytest.fixture
def driver(_window: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Hands on the window with the ball opened and nothing else."""
    from m2v_studio.context import Mouse
    from m2v_studio.driver import Driver
    from m2v_studio.panels.export import ExportDialog
    from m2v_studio.panels.motions import MotionsWindow
    from m2v_studio.view.camera import Camera

    assert isinstance(_window, Driver)
    monkeypatch.setenv("M2V_CONFIG_DIR", str(tmp_path / "config"))
    app = _window.app
    app.studio.worker.cancel()
    app.studio.session = Session(commands.engine_ready(State(), "small, cpu"))
    app.studio.show(commands.set_busy, "")
    app.studio.posing.forget()  # what drags on another test's mesh were solved with
    app.studio.do("open", commands.open_source, ball())
    app.studio.session.past.clear()
    app.studio.offered = None
    app.studio.ask, app.context.save_as, app.context.help_open, app.context.closing = None, None, False, False
    app.context.export_open = app.context.render_open = app.context.motions_open = False
    app.context.mouse = Mouse()
    app.export_dialog = ExportDialog()  # it keeps the last folder while the window is open
    app.motions_window = MotionsWindow()  # it keeps the words searched for
    app.viewport.camera = Camera()
    app.viewport.forget_framing()
    app.studio.settings = Settings(width=WINDOW[0], height=WINDOW[1])
    _window.animator.gate, _window.animator.calls = None, []  # type: ignore[attr-defined]
    _window.move((30.0, 550.0))
    _window.wheel(40.0)  # the settings are scrolled to their top again
    _window.move((500.0, 60.0))
    _window.settle()
    yield _window
    if app.studio.state.notice is not None:
        app.studio.show(commands.notify, None)
    _window.tick(2)


@pytest.fixture
def work(driver: object) -> object:
    """A window with a handle that has a key, and its draft: what must not be lost."""
    from .hands import add_and_drag, finish, rest

    add_and_drag(driver)  # type: ignore[arg-type]
    finish(driver)  # type: ignore[arg-type]
    rest(driver)  # type: ignore[arg-type]
    return driver
