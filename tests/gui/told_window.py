"""A real window that tells what it shows, for tests that reach it by mouse and keyboard alone.

`python -m tests.gui.told_window MESH FOLDER` runs the editor's own loop. After each turn of it `FOLDER/told.json` says
what there is and where. A file `hold` there keeps the stand-in for the model waiting; `fresh` opens the mesh anew.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polyscope.imgui as psim

from m2v_studio.app import App
from m2v_studio.context import Mouse
from m2v_studio.document.mesh_files import read_source
from m2v_studio.document.project import load_project
from m2v_studio.document.selection import chosen_keys, chosen_rows
from m2v_studio.document.state import frame_shown, shown_pose
from m2v_studio.panels import generate
from m2v_studio.studio import Studio
from m2v_studio.view import overlay
from m2v_studio.work.autosave import autosave_path

from ..studio.fake_animator import FakeAnimator

SIZE = (1000, 760)
ITEMS = ("Button", "InvisibleButton", "Checkbox", "DragInt", "DragFloat", "InputInt", "InputText", "InputTextWithHint",
         "Selectable", "BeginMenu", "BeginCombo", "MenuItem")  # fmt: skip
FORMAT = 5  # of DragInt's arguments


class Teller:
    """Notes where every control is drawn, and writes all that a test asks about."""

    def __init__(self, app: App, folder: Path) -> None:
        self._app, self._folder = app, folder
        self._drawn: dict[str, tuple[float, float]] = {}
        self._last: dict[str, tuple[float, float]] = {}
        self._formats: list[str] = []
        self._hint = ""
        self._popup, self._frames, self._when, self._reports = False, -1, 0.0, 0
        self._strip: Any = None
        self._saved: tuple[float, int] = (0.0, 0)
        self._row = ""
        generate.int_row = self._row_names(generate.int_row)
        for kind in ITEMS:
            setattr(psim, kind, self._noted(kind, getattr(psim, kind)))
        rows = app.timeline.rows
        draw_rows, draw_overlay = rows.draw, overlay.draw

        def watched_rows(context: Any, strip: Any) -> None:
            self._strip = strip
            draw_rows(context, strip)

        def watched_overlay(*given: Any) -> None:
            self._last, self._drawn = self._drawn, {}
            self._popup = bool(psim.IsPopupOpen("", psim.ImGuiPopupFlags_AnyPopup))
            self._formats.clear()
            self._hint = ""
            draw_overlay(*given)

        wrapped = overlay._wrapped

        def watched_hint(text: str, *given: Any) -> Any:
            self._hint = text
            return wrapped(text, *given)

        overlay._wrapped = watched_hint
        rows.draw, overlay.draw = watched_rows, watched_overlay  # type: ignore[method-assign]

    def _row_names(self, original: Any) -> Any:
        """The buttons of a labelled row are told apart by its label, as in `Motions -`."""

        def call(label: str, *given: Any) -> Any:
            self._row = f"{label} "
            try:
                return original(label, *given)
            finally:
                self._row = ""

        return call

    def _noted(self, kind: str, original: Any) -> Any:
        def call(label: str, *given: Any) -> Any:
            result = original(label, *given)
            low, high = psim.GetItemRectMin(), psim.GetItemRectMax()
            name = label if label.startswith("##") else label.split("##")[0]
            self._drawn[self._row + name] = (low[0] + high[0]) / 2, (low[1] + high[1]) / 2
            if kind == "DragInt" and len(given) >= FORMAT:
                self._formats.append(given[FORMAT - 1])
            return result

        return call

    def tell(self) -> None:
        app, now = self._app, time.monotonic()
        if app.times.frames == self._frames and now - self._when < 0.2:
            return
        self._frames, self._when, self._reports = app.times.frames, now, self._reports + 1
        part = self._folder / "told.part"
        part.write_text(json.dumps(self._all()))
        part.replace(self._folder / "told.json")

    def _all(self) -> dict[str, Any]:
        app, state = self._app, self._app.studio.state
        document, view, projection = state.document, state.view, app.viewport.projection
        told: dict[str, Any] = {
            "frames": app.times.frames,
            "reports": self._reports,
            "open": document.source is not None and projection is not None and not state.busy,
            "posable": app.studio.posing.system is not None,
            "length": document.frames,
            "loop": document.loop,
            "seeds": document.seeds,
            "keys": [{str(f): [float(v) for v in p] for f, p in h.keys.items()} for h in document.handles],
            "chosen_keys": chosen_keys(state),
            "chosen_rows": chosen_rows(state),
            "frame": frame_shown(state),
            "playing": view.playing,
            "job": state.job is not None,
            "posed": shown_pose(state) is not None,
            "results": 0 if state.results is None else len(state.results.samples.samples),
            "quality": "" if state.results is None else state.results.quality,
            "message": state.message,
            "notice": "" if state.notice is None else state.notice.message,
            "recovery": app.studio.recovery is not None,
            "dialog": app.context.top_dialog,
            "export": app.export_dialog.place.path,
            "film": app.render_dialog.place.path,
            "filming": app.context.films.running,
            "popup": self._popup,
            "hint": self._hint,
            "formats": list(self._formats),
            "items": {**self._last, **self._drawn},
            "region": [app.region.x, app.region.y, app.region.width, app.region.height],
            "autosaved": self._autosaved(),
        }
        if self._strip is not None:
            told["strip"] = [self._strip.left, self._strip.right, self._strip.top]
        if document.source is not None and projection is not None and app.viewport.norm is not None:
            shape = app.viewport.norm.apply(document.source.vertices)
            front = np.argmax(shape @ app.viewport.camera.axes()[2])
            told["front"] = projection.project(shape[front])[0].tolist()
            told["view"] = [round(float(value), 6) for value in projection.view.ravel()]
            figure = app.viewport.figures[0]
            spots = [overlay.knob_position(app.context, figure, handle) for handle in document.handles]
            told["knobs"] = [projection.project(spot)[0].tolist() for spot in spots]
        return told

    def _autosaved(self) -> int:
        """Motions in the autosave."""
        path = autosave_path()
        if not path.exists():
            return 0
        written = path.stat().st_mtime
        if written != self._saved[0]:
            results = load_project(path)[1]
            self._saved = written, 0 if results is None else len(results.samples.samples)
        return self._saved[1]


def main(mesh: Path, folder: Path) -> None:
    def gate() -> None:
        while (folder / "hold").exists():
            time.sleep(0.01)

    app = App(Studio(lambda: FakeAnimator(gate=gate), isolate=False), "openGL3_glfw", SIZE)
    studio, fresh = app.studio, folder / "fresh"
    fresh.touch()
    studio.worker.start()
    teller = Teller(app, folder)
    while not app.context.closing:
        if fresh.exists() and studio.state.engine == "ready":
            app.context.mouse = Mouse()
            app.context.export_open = app.context.render_open = False
            studio.cancel()
            studio._opened_mesh(mesh, read_source(mesh))
            fresh.unlink()
        if app.step():
            time.sleep(0.004)
        teller.tell()
    app.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
