"""Draws contact sheets of eight drags on eight rigs, four seeds each, to judge motions by eye.

The drags were chosen before any result was seen. Each rig's own pack is left out of the bank.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.atomic import check_writable
from core.data.rig_files import rig_files
from core.errors import DataError
from core.evaluation.evaluation_clips import ClipName, normalised
from core.evaluation.fair_bank import without_own_pack
from core.evaluation.reporting import OnProgress, write_text
from core.experiments.handle_pictures import save_picture, strip
from core.io.gltf.scene import read_gltf_mesh
from core.pipelines.animate import Animator
from core.pipelines.request import SamplingOptions
from core.sequence import Handle, HandleTracks

FRAMES, SEEDS, SHOWN = 17, 4, 6
TINT = (0.62, 0.86, 0.80)


@dataclass(frozen=True)
class Drag:
    """The vertex farthest along `where` is dragged by `by`, in units of the size, in the last frame."""

    name: str
    rig: str
    where: tuple[float, float, float]
    by: tuple[float, float, float]


DRAGS = (
    Drag("a paw", "m2m_cat", (0.3, -1.0, 0.7), (0.0, 0.15, 0.10)),
    Drag("a nose", "m2m_horse", (0.0, 0.2, 1.0), (0.0, -0.20, 0.0)),
    Drag("a tail", "m2m_dragon", (0.0, 0.0, -1.0), (0.20, 0.10, 0.0)),
    Drag("a hand", "Mage", (1.0, 0.0, 0.0), (0.0, 0.20, 0.10)),
    Drag("a wing", "m2m_bird", (1.0, 0.0, 0.0), (0.0, 0.25, 0.0)),
    Drag("a fin", "m2m_shark", (1.0, 0.0, 0.0), (0.0, 0.10, 0.0)),
    Drag("a robot's arm", "George", (1.0, 0.0, 0.0), (0.0, 0.25, 0.10)),
    Drag("a chest's lid", "Chest", (0.0, 1.0, 0.3), (0.0, 0.10, -0.25)),
)


def write_drag_pictures(
    animator: Animator, rigs: str | Path, folder: Path, on_progress: OnProgress | None = None
) -> Path:
    """Write a PNG per drag to `folder` (rows are seeds, columns frames) and drags.md, whose path is returned.

    Raises DataError where a rig is missing or the folder cannot be written.
    """
    check_writable(folder, DataError, make=True)
    files = {path.stem: path for path in rig_files(rigs)}
    missing = [drag.rig for drag in DRAGS if drag.rig not in files]
    if missing:
        raise DataError(f"{rigs} lacks {', '.join(missing)}, which the images show; give the folder of all rigs.")
    lines = ["# Eight drags, four seeds each", "", "Rows are seeds; the red dot is the dragged point.", ""]
    for number, drag in enumerate(DRAGS):
        picture, sources = drag_picture(animator, drag, files[drag.rig])
        path = folder / f"drag-{number + 1}-{drag.name.split()[-1]}.png"
        save_picture(path, picture)
        lines += [f"## {drag.name.capitalize()} ({drag.rig})", "", f"![{drag.name}]({path.name})", ""]
        lines += [f"Borrowed from: {'; '.join(source or 'nothing' for source in sources)}.", ""]
        if on_progress is not None:
            on_progress(number + 1, len(DRAGS), drag.name)
    index = folder / "drags.md"
    write_text(index, "\n".join(lines))
    return index


def drag_picture(animator: Animator, drag: Drag, path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """The image of one drag, and the motions from which its seeds were borrowed."""
    mesh = read_gltf_mesh(path)
    vertex = int((mesh.vertices @ np.array(drag.where)).argmax())
    goal = mesh.vertices[vertex] + mesh.size * np.array(drag.by)
    tracks = HandleTracks((Handle(vertex, {FRAMES - 1: goal}),), FRAMES, 24.0)
    with without_own_pack(animator, ClipName(drag.rig, "rigs", "", "", str(path))):
        samples = animator.animate(mesh, tracks, SamplingOptions(seeds=SEEDS)).samples
    motions = [normalised(sample.sequence.vertices) for sample in samples]
    frames = np.linspace(0, FRAMES - 1, SHOWN).round().astype(int)
    whole = np.concatenate([motion[frames].reshape(-1, 3) for motion in motions])
    centre = (whole.min(axis=0) + whole.max(axis=0)) / 2
    scale = 1.15 / max(1.0, float(2 * np.linalg.norm(whole - centre, axis=1).max()))
    rows = []
    for motion in motions:
        seen = (motion[frames] - centre) * scale
        rows.append(strip(seen, mesh.faces, TINT, [place[[vertex]] for place in seen]))
    return np.concatenate(rows), [sample.source for sample in samples]
