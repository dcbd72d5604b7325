"""Which motions of the bank are switched on: by pack, by model, by clip.

What is off is stored in as few names as possible: of packs, of models, or "Model/Clip".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from core.bank.bank_file import Listed

On = Literal["on", "off", "some"]


@dataclass(frozen=True)
class Pack:
    name: str
    author: str
    own: bool  # the user's
    models: tuple[Listed, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key for model in self.models for key in clip_keys(model))


def clip_keys(model: Listed) -> tuple[str, ...]:
    return tuple(f"{model.name}/{clip[0]}" for clip in model.clips)


def packs_of(shipped: Iterable[Listed], own: Iterable[Listed]) -> tuple[Pack, ...]:
    """Packs with their models, the user's first."""
    result: list[Pack] = []
    for mine, models in ((True, own), (False, shipped)):
        by_pack: dict[str, list[Listed]] = {}
        for model in models:
            by_pack.setdefault(model.pack or model.name, []).append(model)
        result += [Pack(name, found[0].author, mine, tuple(found)) for name, found in sorted(by_pack.items())]
    return tuple(result)


def off_keys(packs: Iterable[Pack], without: Collection[str]) -> set[str]:
    """Keys of all clips that are off."""
    return {
        key
        for pack in packs
        for model in pack.models
        for key in clip_keys(model)
        if not {pack.name, pack.author, model.name, key}.isdisjoint(without)
    }


def state_of(keys: Collection[str], off: Collection[str]) -> On:
    """Whether all of these clips are on, some, or none."""
    count = sum(key in off for key in keys)
    return "on" if count == 0 else "off" if count == len(keys) else "some"


def switched(packs: Collection[Pack], without: Collection[str], keys: Iterable[str], on: bool) -> tuple[str, ...]:
    """The names of what is off after these clips were switched. Names of packs that are not installed are kept."""
    off = off_keys(packs, without)
    off = off - set(keys) if on else off | set(keys)
    known = {name for pack in packs for name in (pack.name, pack.author, *(m.name for m in pack.models), *pack.keys)}
    result = {name for name in without if name not in known}
    for pack in packs:
        if state_of(pack.keys, off) == "off":
            result.add(pack.name)
            continue
        for model in pack.models:
            keys_here = clip_keys(model)
            result |= {model.name} if state_of(keys_here, off) == "off" else off & set(keys_here)
    return tuple(sorted(result))
