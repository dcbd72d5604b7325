"""Names for the joints of models whose files only number them, found from their places and motions."""

from __future__ import annotations

from collections.abc import Mapping

# Chains from the body outward: a name for all of a chain, and the numbers of its bones.
_WALKER = {"hips": "0", "chest": "1", "neck": "2", "head": "3", "tail": "4 5 6 7",
           "back_leg_L": "8 9 10", "back_leg_R": "11 12 13",
           "front_leg_R": "14 15 16", "front_leg_L": "17 18 19"}  # fmt: skip
_CHAINS: Mapping[str, Mapping[str, str]] = {
    "simple_Cat": _WALKER,
    "simple_Dog": _WALKER,
    "simple_Wolf": _WALKER,
    "simple_Red_Fox": {
        "chest": "0", "spine": "1", "hips": "2", "neck": "3", "head": "10", "front_leg_R": "4 5 6",
        "front_leg_L": "7 8 9", "back_leg_R": "11 12 13", "back_leg_L": "14 15 16",
    },
    "simple_Eagle": {
        "spine": "0", "hips": "1", "tail": "2 3", "chest": "4", "neck": "5", "head": "6", "wing_L": "7 8 9 10 11",
        "wing_R": "12 13 14 15", "leg_L": "16 17 18 19", "leg_R": "20 21 22 23",
    },
    "simple_Bird": {
        "chest": "0", "neck": "1", "head": "2", "spine": "3", "tail": "4 5", "wing_L": "6 7", "wing_R": "8 9",
    },
    "simple_Chick": {"hips": "0", "spine": "1", "neck": "2", "head": "9", "leg_R": "3 4 5", "leg_L": "6 7 8"},
    "simple_Piranha": {
        "spine": "0", "chest": "1", "head": "2 3", "jaw": "4", "tail": "5 6", "fin_L": "7", "fin_R": "8",
    },
    "simple_Whale": {"spine": "0", "chest": "2", "head": "9", "tail": "3 4", "fin_L": "5 6", "fin_R": "7 8"},
    "Fish1": {"fin_L": "0", "fin_R": "1"},
    "Shark": {"fin_L": "0", "fin_R": "1"},
}  # fmt: skip


def joint_name(model: str, bone: str) -> str:
    """The name of a bone of a model (its file's stem): from the table here, otherwise the bone's own."""
    return _NAMES.get((model, bone), bone)


def _bone(number: str) -> str:
    return "Bone" if number == "0" else f"Bone.{int(number):03d}"


_NAMES = {
    (model, _bone(number)): name if len(chain.split()) == 1 else f"{name}.{place}"
    for model, chains in _CHAINS.items()
    for name, chain in chains.items()
    for place, number in enumerate(chain.split(), start=1)
}
