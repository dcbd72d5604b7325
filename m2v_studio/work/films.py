"""The film that is being made, if any: one at a time, in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from core.io.appearance import appearance
from m2v_studio.document.state import State
from m2v_studio.render.film_process import FilmProcess, FilmReport
from m2v_studio.render.shot import Actor, Color, FilmOptions


class Films:
    """Starts, watches and stops it. `poll` is called for every frame of the window."""

    def __init__(self) -> None:
        self._process: FilmProcess | None = None
        self._ending: threading.Thread | None = None
        self.out = Path()
        self.done, self.total = 0, 0

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self, actors: tuple[Actor, ...], out: Path, options: FilmOptions) -> None:
        """A film that is still being made is given up for this one."""
        self.stop()
        self.out, self.done, self.total = out, 0, 0
        self._process = FilmProcess(actors, out, options)

    def poll(self) -> FilmReport | None:
        """The newest report since the last time; the last one of a film ends it."""
        report = None
        while self._process is not None and (new := self._process.wait(0.0)) is not None:
            report = new
            self.done, self.total = max(new.done, self.done), max(new.total, self.total)
            if new.finished or new.error:
                self.stop()
        return report

    def stop(self) -> None:
        """Give it up, if there is one; nothing half-written is left. The process ends in the background: it finishes
        the picture it is at, and no frame of the window may wait for that."""
        process, self._process = self._process, None
        if process is not None:
            self._ending = threading.Thread(target=process.stop, name="m2v-film-end")
            self._ending.start()

    def close(self) -> None:
        """Give it up and wait until it has ended."""
        self.stop()
        if self._ending is not None:
            self._ending.join()


def cast(state: State, rows: Sequence[int], colors: Sequence[Color], own_looks: bool) -> tuple[Actor, ...]:
    """Results as they appear in a film; `colors` are those of the rows, for what has no looks of its own."""
    assert state.results is not None
    document = state.document
    source = document.source
    looks = appearance(source) if source is not None and own_looks else None
    up = "y"
    if source is not None:
        up = source.up_axis
    elif document.alignment is not None:
        up = document.alignment.up_axis
    actors = []
    for row, color in zip(rows, colors, strict=True):
        sample = state.results.samples.samples[row]
        faces = sample.sequence.faces if source is None else source.faces
        borrowed = getattr(sample, "source", "")
        label = f"seed {sample.seed}: {borrowed}" if borrowed else f"seed {sample.seed}"
        actors.append(Actor(sample.sequence.vertices, faces, document.fps, up, looks, color, label))
    return tuple(actors)
