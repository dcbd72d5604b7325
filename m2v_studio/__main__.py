"""`m2v-studio [SOURCE]`: the editor on the command line."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m2v_studio.studio import Studio

INSTEAD = (
    "run `m2v demo --out DIR` to see the editor at work without one, or `m2v animate` to use it from the command line."
)
SOAK = "`m2v-studio soak --seed N --minutes M` operates a window at random and reports what it found."
NO_LIBRARIES = "install what the README names for drawing, or use `m2v animate` from the command line."


def main(argv: list[str] | None = None) -> int:
    """Open the window; returns the exit code."""
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["soak"]:
        from m2v_studio.soak import main as soak

        return soak(given[1:])
    about = "The desktop editor of Motion2VecSets: animate meshes by dragging handles, complete partial scans."
    parser = argparse.ArgumentParser(prog="m2v-studio", description=about, epilog=SOAK)
    parser.add_argument("source", nargs="?", type=Path, help="a mesh file, a folder of scans or a project to open")
    parser.add_argument("--preset", default="small", help="the model to load (default: small)")
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:N or mps")
    arguments = parser.parse_args(given)
    if not has_display():
        print(f"m2v-studio needs a display to open its window, and there is none here; {INSTEAD}", file=sys.stderr)
        return 2
    # The matrices of a drag are small: on busy cores several threads cost more than they gain.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        # Imported late: without a display, the libraries that Polyscope links to may be missing too.
        from m2v_studio.app import App
    except ImportError as error:
        print(f"The window cannot be drawn ({error}); {NO_LIBRARIES}", file=sys.stderr)
        return 2
    from core.io.staging import remove_left_behind
    from m2v_studio.document.settings import settings_path
    from m2v_studio.studio import Studio
    from m2v_studio.work.display import display_scale
    from m2v_studio.work.worker import load_animator

    remove_left_behind()
    first_start = not settings_path().exists()
    studio = Studio(partial(load_animator, arguments.preset, arguments.device))
    if first_start:
        studio.fit_display(display_scale())
    open_first(studio, arguments.source)  # read in the background while the window opens
    try:
        app = App(studio)
    except RuntimeError as error:
        studio.close()
        print(f"The window cannot be opened ({error}); {INSTEAD}", file=sys.stderr)
        return 2
    app.frame()  # something is on the screen before the model is loaded
    studio.worker.start()
    app.run()
    return 0


def open_first(studio: Studio, source: Path | None) -> None:
    """Open the given file, else a bundled creature."""
    from m2v_studio.document.mesh_files import first_mesh

    mesh = source if source is not None else first_mesh()
    if mesh is not None:
        studio.open_path(mesh, guard=False)


def has_display() -> bool:
    """False on Linux without X11 or Wayland; other systems always have one."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    sys.exit(main())
