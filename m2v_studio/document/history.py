"""The undo history over documents: one step per gesture, however many updates the gesture sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Concatenate, ParamSpec

from m2v_studio.document.state import Document, State

P = ParamSpec("P")
MAX_UNDO = 200


@dataclass(frozen=True)
class Undoable:
    label: str
    document: Document


class Session:
    """The current State with its history. One gesture, however many updates it sends, is one undo step."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state if state is not None else State()
        self.past: list[Undoable] = []
        self.future: list[Undoable] = []
        self._gesture: str | None = None

    def do(
        self, label: str, command: Callable[Concatenate[State, P], State], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Apply an edit as one undo step; nothing is recorded when the document did not change."""
        self._apply(label, None, command, *args, **kwargs)

    def drag(
        self,
        gesture: str,
        label: str,
        command: Callable[Concatenate[State, P], State],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Apply one update of a gesture; updates with the same `gesture` share one step until `end_gesture`."""
        self._apply(label, gesture, command, *args, **kwargs)

    def show(self, command: Callable[Concatenate[State, P], State], *args: P.args, **kwargs: P.kwargs) -> None:
        """Apply something that is never undone: view, results, job, messages."""
        after = command(self.state, *args, **kwargs)
        if after.document is not self.state.document:
            raise ValueError(f"{command.__name__} changes the document; use do() so that it can be undone.")
        self.state = after

    def end_gesture(self) -> None:
        self._gesture = None

    def began(self, gesture: str) -> Document:
        """The document as it was when this gesture began; the present one when it has not begun yet."""
        return self.past[-1].document if gesture == self._gesture else self.state.document

    def undo(self) -> None:
        self._swap(self.past, self.future, "Undid")

    def redo(self) -> None:
        self._swap(self.future, self.past, "Redid")

    def reset(self, state: State) -> None:
        """Start over with another document, forgetting the history."""
        self.state, self.past, self.future, self._gesture = state, [], [], None

    def _apply(self, label: str, gesture: str | None, command: Callable[..., State], *args: Any, **kwargs: Any) -> None:
        before = self.state
        after = command(before, *args, **kwargs)
        self.state = after
        if after.document is before.document:
            return
        continues = gesture is not None and gesture == self._gesture
        if not continues:
            self.past = [*self.past[-(MAX_UNDO - 1) :], Undoable(label, before.document)]
        self.future = []
        self._gesture = gesture

    def _swap(self, take: list[Undoable], give: list[Undoable], verb: str) -> None:
        self._gesture = None
        if not take:
            return
        step = take.pop()
        give.append(Undoable(step.label, self.state.document))
        state = replace(self.state, document=step.document, pose=None, message=f"{verb}: {step.label}.")
        self.state = _valid_view(state)


def _valid_view(state: State) -> State:
    """Selection and time that still exist after the document was exchanged."""
    view, document = state.view, state.document
    selected = view.selected if view.selected is not None and view.selected < len(document.handles) else None
    key = view.key if selected is not None and view.key in document.handles[selected].keys else None
    handles = document.handles
    rows = frozenset(row for row in view.rows if row < len(handles))
    keys = frozenset((row, frame) for row, frame in view.keys if row < len(handles) and frame in handles[row].keys)
    time = min(view.time, float(document.frames - 1))
    return replace(state, view=replace(view, selected=selected, key=key, rows=rows, keys=keys, time=time))
