"""Renders films in a separate process, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from core.io.appearance import appearance
from m2v_studio.document.state import State
from m2v_studio.render.film_process import FilmProcess, FilmReport
from m2v_studio.render.shot import Actor, Color, FilmOptions


class Films:
    """Starts, watches and stops the rendering of a film. `poll` is called in every frame of the window."""

    def __init__(self) -> None:
        self._process: FilmProcess | None = None
        self._ending: threading.Thread | None = None
        self.out = Path()
        self.done, self.total = 0, 0

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self, actors: tuple[Actor, ...], out: Path, options: FilmOptions) -> None:
        """Start a film; one that is still being rendered is stopped."""
        self.stop()
        self.out, self.done, self.total = out, 0, 0
        self._process = FilmProcess(actors, out, options)

    def poll(self) -> FilmReport | None:
        """The newest report since the last call, or None; the last report of a film ends its rendering."""
        report = None
        while self._process is not None and (new := self._process.wait(0.0)) is not None:
            report = new
            self.done, self.total = max(new.done, self.done), max(new.total, self.total)
            if new.finished or new.error:
                self.stop()
        return report

    def stop(self) -> None:
        """Stop the film, if there is one, and leave no half-written file.

        The process ends in the background, because it first finishes its image, which the window must not wait for.
        """
        process, self._process = self._process, None
        if process is not None:
            self._ending = threading.Thread(target=process.stop, name="m2v-film-end")
            self._ending.start()

    def close(self) -> None:
        """Stop the film and wait until its process has ended."""
        self.stop()
        if self._ending is not None:
            self._ending.join()


def film_actors(state: State, rows: Sequence[int], colors: Sequence[Color], own_looks: bool) -> tuple[Actor, ...]:
    """The results of `rows` as a film shows them; `colors` are for results without colours of their own."""
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
