"""Where the bundled files are: presets, checkpoints, meshes, scans, pictures."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def asset_path(*parts: str) -> Path:
    """Path of a bundled file or folder, in an installed wheel (core/_assets) or in a checkout (assets/)."""
    installed = _PACKAGE / "_assets"
    root = installed if installed.is_dir() else _PACKAGE.parent / "assets"
    return root.joinpath(*parts)
