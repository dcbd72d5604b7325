"""Pictures that are animated after: a video or folder, remembered by its path, on a plane in the view."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Plane = Literal["back", "side"]
PLANES: tuple[Plane, ...] = get_args(Plane)
MOST_OFFSET = 300  # frames


@dataclass(frozen=True)
class Reference:
    """`offset` is the picture that stands beside frame 0; before the first and after the last these stay."""

    path: Path
    plane: Plane = "back"
    opacity: float = 0.7
    offset: int = 0

    def picture_at(self, frame: int, count: int) -> int:
        """Which of `count` pictures belongs to a frame."""
        return min(max(frame + self.offset, 0), count - 1)


def reference_record(reference: Reference | None) -> dict[str, Any] | None:
    """For a project file; `reference_from` reads it."""
    if reference is None:
        return None
    return {
        "path": str(reference.path),
        "plane": reference.plane,
        "opacity": reference.opacity,
        "offset": reference.offset,
    }


def reference_from(record: Any) -> Reference | None:
    """Raises KeyError, TypeError or ValueError for anything else than a reference or None."""
    if record is None:
        return None
    plane = record["plane"]
    if plane not in PLANES:
        raise ValueError(f"unknown plane {plane!r}")
    offset = min(max(int(record["offset"]), -MOST_OFFSET), MOST_OFFSET)
    return Reference(Path(str(record["path"])), plane, min(max(float(record["opacity"]), 0.0), 1.0), offset)
