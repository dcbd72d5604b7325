"""Decides which clips may be trained on: by published lists, or by a stable rule without them.

A prepared clip belongs to one of `STORED_SPLITS`. Every data set has unseen identities and unseen motions apart, so
that results tell what was new to the model. Needs numpy and the standard library only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from core.errors import DataError

SPLITS = ("train", "unseen_motion", "unseen_identity")
VALIDATION = "validation"  # in published lists; neither trained on nor reported
STORED_SPLITS = (*SPLITS, VALIDATION)

# File stems of published lists. D-FAUST as split by Occupancy Flow (104 / 5 / 9 / 11 sequences) has
# {train,val,test,test_new_individual}.lst, DeformingThings4D as split by CaDeX index/{train,val,test_us,test_ui}.json.
LIST_SPLITS = {
    "train": "train",
    "val": VALIDATION,
    "validation": VALIDATION,
    "test": "unseen_motion",
    "test_us": "unseen_motion",
    "unseen_motion": "unseen_motion",
    "test_ui": "unseen_identity",
    "test_new_individual": "unseen_identity",
    "unseen_identity": "unseen_identity",
}
# Where every listed item is an object of its own (Shape2Motion), the test list holds unseen identities.
IDENTITY_LIST_SPLITS = {**LIST_SPLITS, "test": "unseen_identity"}
LIST_SUFFIXES = (".lst", ".json")
MAX_LIST_BYTES = 1 << 26
HELD_OUT = 0.1  # share of identities, and of the motions of the others, that the rule keeps from training

# Overrides for cross-dataset runs (train on one set, test on another).
OVERRIDES = {"train": "train", "test": "unseen_identity"}


def published_splits(folder: str | Path, names: Mapping[str, str] = LIST_SPLITS) -> dict[str, str]:
    """{item: split} from the list files in `folder` (or one list file); {} where there are none.

    `.lst` files have one item per line, `.json` files a list of items or {list name: items}. A list's name, or its
    file's, says the split and may have a prefix (`bear3EP_train.json`). Of an item that is a path, the last part
    counts. Raises DataError for a damaged list or an item in two splits.
    """
    place = Path(folder)
    files = [place] if place.is_file() else _list_files(place)
    found: dict[str, str] = {}
    for path in files:
        split = _split_of_stem(path.stem, names)
        for listed, items in _read_list(path).items():
            said = _split_of_stem(listed, names) if listed else split
            if said is None:
                continue
            for item in items:
                name = PurePosixPath(item.strip().replace("\\", "/")).name
                if name and found.setdefault(name, said) != said:
                    raise DataError(
                        f"{path} puts {name} into {said}, but another list says {found[name]}; correct one of them."
                    )
    return found


def rule_split(identity: str, motion: str, unseen: Iterable[str] = ()) -> str:
    """The split of a clip that no list names, by a hash of its names, so that adding clips never moves others.

    Identities in `unseen` are never trained on, nor are a tenth of all others and a tenth of the motions of the rest.
    """
    chosen = frozenset(unseen)
    if identity in chosen or (not chosen and _share("identity", identity) < HELD_OUT):
        return "unseen_identity"
    return "unseen_motion" if _share("motion", identity, motion) < HELD_OUT else "train"


def drawn_splits(override: str, split: str) -> tuple[str, ...]:
    """The stored splits that a request for `split` draws from.

    `override` is "own" (as prepared), "train" (every clip is trained on) or "test" (every clip is an unseen identity),
    so that one set can be trained on and another tested on. Raises DataError for others.
    """
    if override == "own":
        return (split,)
    if override not in OVERRIDES:
        raise DataError(f"Unknown splits {override!r}; choose own, {' or '.join(OVERRIDES)}.")
    return STORED_SPLITS if split == OVERRIDES[override] else ()


def _list_files(folder: Path) -> list[Path]:
    """Lists in a folder and in its `index` and `splits` folders; other JSON files are ignored."""
    places = [folder, folder / "index", folder / "splits"]
    return sorted(
        path
        for place in places
        if place.is_dir()
        for path in place.iterdir()
        if path.is_file() and path.suffix.lower() in LIST_SUFFIXES and _split_of_stem(path.stem, LIST_SPLITS)
    )


def _split_of_stem(stem: str, names: Mapping[str, str]) -> str | None:
    """The split that a list's name stands for, by its longest known ending, so that it may have a prefix."""
    name = stem.lower()
    fitting = [known for known in names if name == known or name.endswith(f"_{known}")]
    return names[max(fitting, key=len)] if fitting else None


def _read_list(path: Path) -> dict[str, list[str]]:
    """{list name: items} of a file; the name is "" where the file is one list. Raises DataError."""
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise DataError(f"{path} is too large to be a list of clips; give another file.")
        text = path.read_text(encoding="utf-8")
        tree = json.loads(text) if path.suffix.lower() == ".json" else text.splitlines()
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is not a list of clips that can be read ({type(error).__name__}); copy it again."
        ) from None
    lists = tree if isinstance(tree, dict) else {"": tree}
    for items in lists.values():
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise DataError(f"{path} must be a list of clip names, or lists by name; correct it.")
    return {str(name): items for name, items in lists.items()}


def _share(*words: str) -> float:
    """A hash of the words, as a number in [0, 1)."""
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
