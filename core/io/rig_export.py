"""Writes a rig for animation programs: GLB with a skin, or USD with UsdSkel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.errors import ExportError
from core.geometry.skeleton import Rig
from core.io import staging
from core.io.export_clip import ExportClip, ExportOptions, numbered, placement, prepare, sequence_rows, unique_names
from core.io.export_formats import RIG_FORMATS
from core.io.gltf.skin_writer import write_skinned_glb
from core.io.usd.usd_writer import write_usd
from core.sequence import MeshSequence, SourceMesh


def check_rig_output(out: Path) -> None:
    """Raise ExportError if `out` has not the suffix of a format with bones, or is a folder."""
    if out.suffix.lower() not in RIG_FORMATS:
        *some, last = RIG_FORMATS
        raise ExportError(f"{out} cannot hold bones: its name must end in {', '.join(some)} or {last}.")
    if out.is_dir():
        raise ExportError(f"{out} is a folder; give the name of a file.")


def export_rig(
    rig: Rig,
    rest: MeshSequence,
    out: Path | str,
    source: SourceMesh | None = None,
    *,
    options: ExportOptions | None = None,
) -> tuple[Path, ...]:
    """Write a rig with its mesh, completely or not at all; returns every path written, `out` first.

    Frame 0 of `rest`, a sequence that the rig was made from, is the rest pose. With `source`, the mesh is the input
    file's, with its parts and materials. `options` set axes, scale and frame rate. Raises ExportError.
    """
    options = options or ExportOptions()
    out = Path(out)
    check_rig_output(out)
    still = replace(rest, vertices=rest.vertices[:1], handles=None)
    clip = prepare(still, source, replace(options, start=0, end=0), unique_names([out.stem])[0])
    rows = sequence_rows(rest, source)
    turned = rig.moved(*placement(options.up_axis, source, options.scale))
    names = numbered((action.name for action in rig.actions), " ", 2)
    fps = options.fps
    actions = tuple(
        replace(action, name=name, fps=action.fps if fps is None else fps)
        for action, name in zip(turned.actions, names, strict=True)
    )
    bound = replace(turned, bones=rig.bones[rows], weights=rig.weights[rows], actions=actions)
    with staging.staged(out) as folder:
        path = folder / f"{out.stem}{out.suffix.lower()}"
        _write(clip, bound, path, f"{clip.name}_{out.suffix[1:].lower()}")
        path.replace(folder / out.name)
        return staging.commit(folder, out)


def _write(clip: ExportClip, rig: Rig, path: Path, tag: str) -> None:
    if path.suffix == ".glb":
        write_skinned_glb(clip, rig, path)
    else:
        write_usd(clip, path, tag, rig)
