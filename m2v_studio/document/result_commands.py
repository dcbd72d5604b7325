"""Commands to keep, name and delete results: pure functions State -> State. Not part of undo; the last deletion can be
reverted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from core.pipelines.request import ReconstructionSet, SampleSet
from m2v_studio.document.state import Mark, Results, State
from m2v_studio.document.words import counted

MAX_NAME = 40
MAX_KEPT = 24


def mark_of(results: Results | None, row: int) -> Mark:
    """The notes on a result; empty for one that does not exist."""
    return results.marks[row] if results is not None and row < len(results.marks) else Mark()


def result_label(results: Results, row: int) -> str:
    """The result's name, or if it has none, its seed."""
    return mark_of(results, row).name or f"seed {results.samples.samples[row].seed}"


def toggle_star(state: State, row: int) -> State:
    """Mark a result to be kept when others are generated or deleted."""
    return _marked(state, row, star=not mark_of(state.results, row).star)


def name_result(state: State, row: int, name: str) -> State:
    """Name a result, which also gets a star; an empty name shows the seed number again."""
    name = " ".join(name.split())[:MAX_NAME]
    return _marked(state, row, name=name, star=mark_of(state.results, row).star or bool(name))


def delete_results(state: State, rows: Iterable[int]) -> State:
    """Delete results; `bring_back` reverts the last deletion."""
    results = state.results
    gone = set(rows)
    if results is None or not gone:
        return state
    left = [row for row in range(len(results.samples.samples)) if row not in gone]
    made = picked(results, left) if left else None
    solo = min(sum(row < state.view.solo for row in left), max(len(left) - 1, 0))
    view = replace(state.view, solo=solo, layout=state.view.layout if len(left) > 1 else "one")
    if len(left) < 2 and view.color == "disagreement":
        view = replace(view, color="none")
    message = f"Deleted {counted(len(results.samples.samples) - len(left), 'result')}; the menu Motion brings it back."
    return replace(state, results=made, removed=results, view=view, message=message)


def others_of(state: State) -> tuple[int, ...]:
    """Rows that "delete the others" deletes: all without a star, or if none has a star, all but the one shown."""
    if state.results is None:
        return ()
    rows = range(len(state.results.samples.samples))
    starred = {row for row in rows if mark_of(state.results, row).star}
    return tuple(row for row in rows if row not in (starred or {state.view.solo}))


def bring_back(state: State) -> State:
    """Revert the last deletion of results."""
    if state.removed is None:
        return state
    return replace(state, results=state.removed, removed=None, message="Brought back what was deleted.")


def with_kept(state: State, made: Results) -> Results:
    """The new results, followed by the starred ones of before. A result that was generated again keeps its star."""
    old = state.results
    if old is None or not isinstance(old.samples, SampleSet) or not isinstance(made.samples, SampleSet):
        return made
    rows = [row for row in range(len(old.samples.samples)) if mark_of(old, row).star]
    new, marks = list(made.samples.samples), [Mark() for _ in made.samples.samples]
    for row in rows[-MAX_KEPT:]:
        sample, mark = old.samples.samples[row], mark_of(old, row)
        if sample.sequence.vertices.shape[1] != new[0].sequence.vertices.shape[1]:
            continue
        same = old.key == made.key and old.quality == made.quality and not mark.older
        twin = next((at for at, other in enumerate(made.samples.samples) if other.seed == sample.seed), None)
        if same and twin is not None:
            marks[twin] = mark
        else:
            new.append(sample)
            marks.append(replace(mark, older=mark.older or old.key != made.key))
    return replace(made, samples=replace(made.samples, samples=tuple(new)), marks=tuple(marks))


def picked(results: Results, rows: list[int]) -> Results:
    """The results of these rows alone."""
    samples = results.samples
    kept: SampleSet | ReconstructionSet
    if isinstance(samples, SampleSet):
        kept = replace(samples, samples=tuple(samples.samples[row] for row in rows))
    else:
        kept = replace(samples, samples=tuple(samples.samples[row] for row in rows))
    errors = None if results.truth_error is None else tuple(results.truth_error[row] for row in rows)
    return replace(results, samples=kept, truth_error=errors, marks=tuple(mark_of(results, row) for row in rows))


def _marked(state: State, row: int, **changes: object) -> State:
    results = state.results
    if results is None or not 0 <= row < len(results.samples.samples):
        return state
    marks = [mark_of(results, at) for at in range(len(results.samples.samples))]
    marks[row] = replace(marks[row], **changes)  # type: ignore[arg-type]
    return replace(state, results=replace(results, marks=tuple(marks)))
