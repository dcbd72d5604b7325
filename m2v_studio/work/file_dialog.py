"""The system's file dialog in a process of its own, so that the window keeps drawing while it is open."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

_SCRIPT = """
import sys, tkinter, tkinter.filedialog as dialog
mode, title, folder, name, kinds = sys.argv[1:6]
root = tkinter.Tk(); root.withdraw(); root.attributes('-topmost', True)
types = [tuple(kind.split('=')) for kind in kinds.split('|') if kind] + [('All files', '*')]
if mode == 'folder':
    chosen = dialog.askdirectory(title=title, initialdir=folder or None, mustexist=True)
elif mode == 'open':
    chosen = dialog.askopenfilename(title=title, initialdir=folder or None, filetypes=types)
else:
    chosen = dialog.asksaveasfilename(title=title, initialdir=folder or None, initialfile=name, filetypes=types)
sys.stdout.buffer.write(str(chosen or '').encode('utf-8'))
"""


def available() -> bool:
    """True when Python was built with tkinter. Without it, paths are typed."""
    return importlib.util.find_spec("tkinter") is not None


class FileDialog:
    """At most one dialog at a time; `poll` delivers the answer, or calls `failed` when no dialog could be shown."""

    def __init__(self, failed: Callable[[], None] | None = None) -> None:
        self._failed = failed
        self._process: subprocess.Popen[bytes] | None = None
        self._then: Callable[[Path], None] | None = None

    @property
    def is_open(self) -> bool:
        return self._process is not None

    def ask(
        self,
        mode: Literal["open", "save", "folder"],
        title: str,
        then: Callable[[Path], None],
        kinds: dict[str, str] | None = None,
        start: Path | None = None,
    ) -> bool:
        """Show the dialog. Returns False when this machine has none, or when one is open already."""
        if self.is_open or not available():
            return False
        folder = "" if start is None else str(start.parent)
        name = "" if start is None else start.name
        types = "|".join(f"{label}={pattern}" for label, pattern in (kinds or {}).items())
        command = [sys.executable, "-c", _SCRIPT, mode, title, folder, name, types]
        try:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError:
            return False
        self._then = then
        return True

    def poll(self) -> bool:
        """Pass on the chosen path when a dialog has closed with one. Returns True when a dialog has closed."""
        if self._process is None or self._process.poll() is None:
            return False
        assert self._process.stdout is not None
        answer = self._process.stdout.read().decode("utf-8", "replace").strip()
        code, then = self._process.returncode, self._then
        self._process, self._then = None, None
        if answer and then is not None:
            then(Path(answer))
        elif code != 0 and self._failed is not None:  # tkinter is there but Tk is not, or it has no display
            self._failed()
        return True

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process = None
