"""Exports a sequence in the format that the suffix names, completely or not at all."""

from __future__ import annotations

import re
from pathlib import Path

from core.errors import ExportError
from core.io import staging
from core.io.blender_script import blender_script
from core.io.export_clip import ExportOptions, prepare, unique_names
from core.io.export_formats import FOLDERS, FORMATS
from core.io.mesh.frame_files import FRAME_FILES
from core.sequence import MeshSequence, SourceMesh


def export_sequence(
    sequence: MeshSequence, out: Path | str, source: SourceMesh | None = None, *, options: ExportOptions | None = None
) -> tuple[Path, ...]:
    """Write `sequence` to `out`; the suffix picks the format, `.obj` and `.ply` name folders of frames.

    With `source`, the export has the input file's own vertices (same number and order), parts, UVs and materials;
    positions are turned from the source's up axis to `options.up_axis` (Y by default) and scaled. Missing parent
    folders are made. Returns every path written, `out` first; the others are `NAME_pc2_base.obj`,
    `NAME_usdc_texture0.png` and the like, and the Blender script `import_NAME_glb.py`. Raises ExportError, with nothing
    left half-written.
    """
    options = options or ExportOptions()
    out = Path(out)
    suffix = out.suffix.lower()
    if suffix not in FORMATS:
        *some, last = (f"{suffix}/" if suffix in FOLDERS else suffix for suffix in FORMATS)
        raise ExportError(
            f"{out} cannot be written: its name must end in {', '.join(some)} or {last} "
            "(FBX and Alembic can be exported from Blender after importing one of these)."
        )
    staging.check_target(out, suffix in FOLDERS, re.compile(FRAME_FILES))
    clip = prepare(sequence, source, options, unique_names([out.stem])[0])
    tag = f"{clip.name}_{suffix[1:]}"  # without spaces and quotes, which OBJ readers trip over
    with staging.staged(out) as folder:
        path = folder / f"{out.stem}{suffix}"
        base = FORMATS[suffix].write(clip, path, tag)
        path.replace(folder / out.name)  # the writers know lower-case suffixes only
        script = blender_script(clip, suffix, out.name, tag, base) if options.blender_script else None
        if script is not None:
            (folder / f"import_{tag}.py").write_text(script, encoding="utf-8", newline="\n")
        return staging.commit(folder, out)
