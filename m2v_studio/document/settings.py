"""Settings kept between runs (window size, text scale, recent files, ...) in one small JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from core.assets import config_folder
from core.atomic import fresh_file

MAX_RECENT = 8
MIN_WINDOW = (960, 600)
DEFAULT_WINDOW = (1440, 900)


@dataclass(frozen=True)
class Settings:
    """Everything has a default, so a missing or damaged file only means the defaults."""

    width: int = DEFAULT_WINDOW[0]
    height: int = DEFAULT_WINDOW[1]
    text_scale: float = 1.0
    recent: tuple[str, ...] = ()
    hints: bool = True  # the one-line hints in the view
    folder: str = ""  # where the last export went
    contacts: bool = True  # show rings under standing feet
    onion: bool = False  # pale frames before and after the one shown
    onion_before: int = 2
    onion_after: int = 2
    onion_spacing: int = 3
    theme: str = "light"  # or dark
    without: tuple[str, ...] = ()  # motions of the bank that are switched off in a fresh document
    color: str = ""  # what results were last coloured by; empty: the mesh's own colours if it has any

    def with_recent(self, path: Path) -> Settings:
        """These settings with `path` as the most recent file."""
        name = str(path.expanduser().resolve())
        return replace(self, recent=(name, *(old for old in self.recent if old != name))[:MAX_RECENT])


def settings_path() -> Path:
    return config_folder() / "settings.json"


def load_settings() -> Settings:
    """Read the settings; anything missing, damaged or out of range becomes its default."""
    try:
        raw = json.loads(settings_path().read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            return Settings()
        return Settings(
            width=min(max(int(raw.get("width", DEFAULT_WINDOW[0])), MIN_WINDOW[0]), 7680),
            height=min(max(int(raw.get("height", DEFAULT_WINDOW[1])), MIN_WINDOW[1]), 4320),
            text_scale=min(max(float(raw.get("text_scale", 1.0)), 0.75), 3.0),
            recent=tuple(str(name) for name in raw.get("recent", ()))[:MAX_RECENT],
            hints=bool(raw.get("hints", True)),
            folder=str(raw.get("folder", "")),
            contacts=bool(raw.get("contacts", True)),
            onion=bool(raw.get("onion", False)),
            onion_before=min(max(int(raw.get("onion_before", 2)), 0), 5),
            onion_after=min(max(int(raw.get("onion_after", 2)), 0), 5),
            onion_spacing=min(max(int(raw.get("onion_spacing", 3)), 1), 12),
            theme="dark" if raw.get("theme") == "dark" else "light",
            without=tuple(str(name) for name in raw.get("without", ())),
            color=str(raw.get("color", "")),
        )
    except (OSError, ValueError, TypeError):
        return Settings()


def save_settings(settings: Settings) -> None:
    """Write the settings atomically. If the folder cannot be written, nothing is saved and nothing raised."""
    try:
        with fresh_file(settings_path()) as file:
            file.write_text(json.dumps(asdict(settings), indent=2), encoding="utf-8")
    except OSError:
        return
