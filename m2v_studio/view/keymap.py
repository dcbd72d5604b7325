"""Key chords as people write them ("Ctrl+Shift+Z"), and the file in which they are bound to other commands."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polyscope.imgui as psim
import yaml

from core.errors import DataError
from core.safe_yaml import MAX_YAML_BYTES, BudgetError, parse_yaml

FILE = "keys.yaml"
MODIFIERS = ("Ctrl", "Shift", "Alt")
_LITERAL = {name: name for name in (*string.ascii_uppercase, *string.digits, *(f"F{n}" for n in range(1, 13)))}
_NUMPAD = {f"Numpad {n}": f"Keypad{n}" for n in string.digits} | {
    "Numpad .": "KeypadDecimal",
    "Numpad +": "KeypadAdd",
    "Numpad -": "KeypadSubtract",
    "Numpad *": "KeypadMultiply",
    "Numpad /": "KeypadDivide",
    "Numpad Enter": "KeypadEnter",
}
_NAMED = {
    **{name: name for name in ("Space", "Enter", "Tab", "Home", "End", "Insert", "Backspace")},
    **{f"{way}": f"{way}Arrow" for way in ("Left", "Right", "Up", "Down")},
    **{"Esc": "Escape", "Del": "Delete", "PgUp": "PageUp", "PgDn": "PageDown"},
    **{",": "Comma", ".": "Period", "-": "Minus", "=": "Equal", ";": "Semicolon", "'": "Apostrophe", "/": "Slash"},
    **{"[": "LeftBracket", "]": "RightBracket", "\\": "Backslash", "`": "GraveAccent"},
}
KEYS: Mapping[str, int] = {
    name: int(getattr(psim, f"ImGuiKey_{inner}")) for name, inner in (_LITERAL | _NUMPAD | _NAMED).items()
}
_BY_SMALL_LETTERS = {name.lower(): name for name in KEYS} | {"delete": "Del", "escape": "Esc", "return": "Enter"}


@dataclass(frozen=True)
class Chord:
    """A key with the modifiers held with it."""

    key: str  # a name of KEYS
    modifiers: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return "+".join([*(name for name in MODIFIERS if name in self.modifiers), self.key])

    @classmethod
    def parse(cls, text: str) -> Chord:
        """Read a chord such as "Ctrl+Shift+Z"; raises DataError that says what is wrong."""
        *modifiers, key = (part.strip() for part in text.split("+")) if text not in ("Numpad +",) else (text,)
        held = {name.lower(): name for name in MODIFIERS}
        unknown = [name for name in modifiers if name.lower() not in held]
        if unknown or key.lower() not in _BY_SMALL_LETTERS:
            raise DataError(f'"{text[:40]}" is not a key: write it like Ctrl+Shift+Z, Del, Space, F2 or Numpad 1.')
        return cls(_BY_SMALL_LETTERS[key.lower()], frozenset(held[name.lower()] for name in modifiers))

    @property
    def is_function_key(self) -> bool:
        return self.key[0] == "F" and self.key[1:].isdigit()

    def pressed(self, repeat: bool = False) -> bool:
        """True in the frame in which the key goes down, and with `repeat`, again while it is held.

        Modifiers are not checked; see `held_modifiers`.
        """
        return bool(psim.IsKeyPressed(psim.ImGuiKey(KEYS[self.key]), repeat))


def held_modifiers() -> frozenset[str]:
    """The names of the modifiers that are down now. A modifier outside `MODIFIERS` is included, so no chord matches."""
    io = psim.GetIO()
    held = {"Ctrl": io.KeyCtrl, "Shift": io.KeyShift, "Alt": io.KeyAlt, "Super": io.KeySuper}
    return frozenset(name for name, down in held.items() if down)


def parsed(texts: Iterable[str]) -> tuple[Chord, ...]:
    return tuple(Chord.parse(text) for text in texts)


def read_bindings(path: Path, commands: Iterable[str]) -> tuple[dict[str, tuple[Chord, ...]], list[str]]:
    """The chords in a keys file, by command, and a sentence for each line that cannot be used.

    A line is `command: Ctrl+K`, `command: [Ctrl+K, F4]` or `command: []` for no key at all.
    """
    known = set(commands)
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            return {}, [f"{path} is too large for a list of keys; it is not read."]
        tree = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, []
    except BudgetError as error:
        return {}, [f"{path} {error}; it is not read."]
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return {}, [f"{path} cannot be read as YAML ({reason[:100]})."]
    if tree is None:
        return {}, []
    if not isinstance(tree, dict):
        return {}, [f"{path} has to hold lines such as `play: Space`; it is not read."]
    found: dict[str, tuple[Chord, ...]] = {}
    faults: list[str] = []
    for name, given in tree.items():
        if not isinstance(name, str) or name not in known:
            faults.append(f"{path.name}: there is no command {str(name)[:40]!r}; F1 lists their names.")
            continue
        texts = given if isinstance(given, list) else [] if given is None else [given]
        try:
            found[name] = parsed(str(text) for text in texts[:8])
        except DataError as error:
            faults.append(f"{path.name}: {name}: {error}")
    taken: dict[Chord, str] = {}
    for name, chords in found.items():
        for chord in chords:
            if taken.setdefault(chord, name) != name:
                faults.append(f"{path.name}: {chord} is assigned to {taken[chord]} and {name}; the first keeps it.")
        found[name] = tuple(chord for chord in chords if taken[chord] == name)
    return found, faults[:20]


def resolved(
    own: Mapping[str, tuple[Chord, ...]], given: Mapping[str, tuple[Chord, ...]]
) -> dict[str, tuple[Chord, ...]]:
    """The chords of every command in `given`: the user's `own`, or those given that `own` does not bind elsewhere."""
    taken = {chord for chords in own.values() for chord in chords}
    return {
        name: own[name] if name in own else tuple(chord for chord in chords if chord not in taken)
        for name, chords in given.items()
    }
