"""Export: a MeshSequence into the files that Blender, Maya, Houdini and game engines open.

`export_sequence` is the one entry; the suffix of the output picks the format (see `FORMATS`).
`read_sequence` reads back the project's own `.npz` sequence file.
"""

from core.export.clip import ExportOptions
from core.export.sequence_file import read_sequence
from core.export.writer import FORMATS, export_sequence

__all__ = ["FORMATS", "ExportOptions", "export_sequence", "read_sequence"]
