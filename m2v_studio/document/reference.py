"""References to animate after: images on a plane in the view, or another motion of the mesh. Stored by path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Plane = Literal["back", "side"]
PLANES: tuple[Plane, ...] = get_args(Plane)
MOST_OFFSET = 300  # frames


@dataclass(frozen=True)
class Reference:
    """Reference images. `offset` is the image shown at frame 0; the first and last image stay beyond the ends."""

    path: Path
    plane: Plane = "back"
    opacity: float = 0.7
    offset: int = 0

    def image_at(self, frame: int, count: int) -> int:
        """Index of the image, of `count`, that is shown at a frame."""
        return min(max(frame + self.offset, 0), count - 1)


@dataclass(frozen=True)
class ReferenceMotion:
    """A clip of an animated file of the same mesh; `offset` is its frame that is shown at the document's frame 0."""

    path: Path
    clip: str
    offset: int = 0


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


def motion_record(motion: ReferenceMotion | None) -> dict[str, Any] | None:
    """For a project file; `motion_from` reads it."""
    return None if motion is None else {"path": str(motion.path), "clip": motion.clip, "offset": motion.offset}


def motion_from(record: Any) -> ReferenceMotion | None:
    """Raises KeyError, TypeError or ValueError for anything else than a reference motion or None."""
    if record is None:
        return None
    offset = min(max(int(record["offset"]), -MOST_OFFSET), MOST_OFFSET)
    return ReferenceMotion(Path(str(record["path"])), str(record["clip"])[:200], offset)
