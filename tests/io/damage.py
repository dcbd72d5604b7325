"""Whole files as damaged ones: cut short, or with a few bytes changed."""

from __future__ import annotations

from hypothesis import strategies as st


def damaged(files: list[tuple[str, bytes]]) -> st.SearchStrategy[tuple[str, list[bytes]]]:
    """One of the files, (kind, data), with a few bytes changed: the kind, and the data cut short and whole."""
    changes = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4)
    return st.builds(_damage, st.sampled_from(files), st.floats(0, 1), changes)


def _damage(file: tuple[str, bytes], cut: float, changes: list[tuple[float, int]]) -> tuple[str, list[bytes]]:
    kind, data = file
    changed = bytearray(data)
    for place, value in changes:
        changed[int(place * len(data))] = value
    return kind, [bytes(changed[: int(cut * len(changed)) + 1]), bytes(changed)]
