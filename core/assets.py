"""Where the files that ship with the project are: presets, checkpoints, bundled meshes."""

from __future__ import annotations

from pathlib import Path

import core

_PACKAGE = Path(core.__file__).parent


def asset_path(*parts: str) -> Path:
    """The path of a shipped file or folder, in an installed wheel (`core/_assets`) or in a checkout (`assets`)."""
    packaged = _PACKAGE / "_assets"
    root = packaged if packaged.is_dir() else _PACKAGE.parent / "assets"
    return root.joinpath(*parts)
