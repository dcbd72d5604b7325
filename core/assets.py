"""Locations of files: shipped assets, user settings and caches."""

from __future__ import annotations

import os
from pathlib import Path

import core

_PACKAGE = Path(core.__file__).parent


def asset_path(*parts: str) -> Path:
    """The path of a shipped file or folder, in an installed wheel (`core/_assets`) or in a checkout (`assets`)."""
    packaged = _PACKAGE / "_assets"
    root = packaged if packaged.is_dir() else _PACKAGE.parent / "assets"
    return root.joinpath(*parts)


def search_path() -> str:
    """PYTHONPATH of a child process, so that it imports this same code, installed or not."""
    return os.pathsep.join(filter(None, [str(_PACKAGE.parent), os.environ.get("PYTHONPATH")]))


def config_folder() -> Path:
    """The folder of a user's settings, autosaves and own motions; `M2V_CONFIG_DIR` overrides the platform's default."""
    from platformdirs import user_config_path  # missing on a bare training machine

    chosen = os.environ.get("M2V_CONFIG_DIR")
    return Path(chosen) if chosen else user_config_path("m2v-studio", appauthor=False, roaming=True)


def cache_folder() -> Path:
    """The folder of files that can be regenerated."""
    from platformdirs import user_cache_path

    return user_cache_path("m2v", appauthor=False)
