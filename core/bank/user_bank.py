"""Where banks of motions lie: the one that ships, and the one that a user's own animations are added to."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_config_path

from core.assets import asset_path


def shipped_bank() -> Path:
    """The bank that comes with the program."""
    return asset_path("bank", "motions.safetensors")


def user_bank() -> Path:
    """A user's own bank, whether it is there or not."""
    return user_config_path("m2v-studio", appauthor=False) / "motions.safetensors"


def bank_files() -> list[Path]:
    """The banks that are there, the shipped one first."""
    return [path for path in (shipped_bank(), user_bank()) if path.is_file()]
