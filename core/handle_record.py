"""Handles as plain values for the program's own files; people write handle files instead."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.key_easing import easing_from, easing_record
from core.sequence import Handle


def handle_record(handle: Handle) -> dict[str, Any]:
    """What JSON can hold; `handle_from_record` reads it."""
    return {
        "vertex": handle.vertex,
        "name": handle.name,
        "pinned": handle.pinned,
        "hold": handle.hold,
        "keys": {str(frame): place.tolist() for frame, place in handle.keys.items()},
        "region": handle.region.tolist(),
        "turns": {str(frame): turn.tolist() for frame, turn in handle.turns.items()},
        "pins": [list(pin) for pin in handle.pins],
        "easing": {str(frame): easing_record(easing) for frame, easing in handle.easing.items()},
    }


def handle_from_record(record: dict[str, Any]) -> Handle:
    """From JSON; tolerates fields missing in older versions.

    Raises KeyError, TypeError, ValueError or HandleError for anything that is not a handle.
    """
    return Handle(
        vertex=int(record["vertex"]),
        keys={int(frame): np.asarray(place, dtype=np.float64) for frame, place in record["keys"].items()},
        hold=bool(record["hold"]),
        pinned=bool(record["pinned"]),
        name=str(record["name"]),
        pins=tuple((int(first), int(last)) for first, last in record.get("pins", ())),
        easing={int(frame): easing_from(value) for frame, value in record.get("easing", {}).items()},
        turns={int(frame): turn for frame, turn in record.get("turns", {}).items()},
        region=np.array([int(vertex) for vertex in record.get("region", ())], dtype=np.int64),
    )
