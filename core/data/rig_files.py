"""The rigged glTF files of the motion data, and the agreed split of their clips."""

from __future__ import annotations

from pathlib import Path

from core.errors import DataError

# Never in training, so that results compare over time.
UNSEEN_IDENTITIES = frozenset(
    [
        "Stag",
        "ShibaInu",
        "farm_Zebra",
        "farm_Pug",
        "simple_Cat",
        "Trex",
        "Shark",
        "Frog",
        "Smooth_Female_Dress",
        "Mage",
        "modular_man_Worker",
        "Chest",
        "body_03",
        "body_13",
    ]
)
CATEGORIES = ("animals", "humans", "bodies", "objects")


# Never in training: results on their work show how well that of new authors is handled.
UNSEEN_AUTHORS = ("Mesh2Motion", "Kay Lousberg")


def clip_author(stem: str) -> str:
    """The author of the rig file of this name, as stated by the data set's page."""
    if stem.startswith("m2m_"):
        return "Mesh2Motion"
    if stem in ("Knight", "Mage"):
        return "Kay Lousberg"
    return "MakeHuman community" if stem.startswith("body_") else "Quaternius"


def clip_split(stem: str, clip: int, clips: int) -> str:
    """The split of clip number `clip` (file order) of the file `stem` that holds `clips` clips."""
    if clip_author(stem) in UNSEEN_AUTHORS and stem not in UNSEEN_IDENTITIES:
        return "unseen_author"
    if stem in UNSEEN_IDENTITIES:
        return "unseen_identity"
    return "unseen_motion" if clips >= 4 and clip % 4 == 3 else "train"


def rig_files(directory: str | Path) -> list[Path]:
    """All .glb and .gltf files under a folder, sorted; raises DataError when there are none."""
    folder = Path(directory)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder that holds the rigged .glb files.")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".glb", ".gltf"))
    if not found:
        raise DataError(f"{folder} holds no .glb or .gltf files; give the folder that holds the rigs.")
    return found
