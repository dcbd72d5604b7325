"""Credits of the shipped bank's rigs: author, licence and pack of each file.

Models of one pack share their rig and clips, so a fair evaluation of one leaves out its whole pack.
"""

from __future__ import annotations

from typing import NamedTuple

LICENCE = "CC0 1.0"
OWN_AUTHOR = "yours"


class Credit(NamedTuple):
    author: str
    licence: str
    pack: str


# (pack, author, models). A model that ends with * stands for all whose names begin like that.
_PACKS: tuple[tuple[str, str, str], ...] = (
    ("animated animals", "Quaternius", "Alpaca Bull Cow Deer Donkey Fox Horse Husky ShibaInu Stag Wolf"),
    ("farm animals", "Quaternius", "farm_*"),
    ("simple animals", "Quaternius", "simple_*"),
    ("dinosaurs", "Quaternius", "Apatosaurus Parasaurolophus Stegosaurus Trex Triceratops Velociraptor"),
    ("sea animals", "Quaternius", "Dolphin Fish1 Fish2 Manta_ray Shark Whale"),
    ("fish", "Quaternius", "fish_* Clownfish Koi Lionfish Puffer Swordfish Tuna"),
    ("small animals", "Quaternius", "Frog Rat Snake Spider Wasp"),
    ("flying monsters", "Quaternius", "Bat Dragon"),
    ("platformer", "Quaternius", "platformer_* Bee Crab"),
    ("cyberpunk", "Quaternius", "cyber_*"),
    ("cyberpunk character", "Quaternius", "Cyberpunk_Character"),
    ("space", "Quaternius", "space_*"),
    ("smooth people", "Quaternius", "Smooth_* Alien KnightCharacter"),
    ("modular people", "Quaternius", "modular_*"),
    ("animated people", "Quaternius", "Animated_Human Animated_Woman_smooth ZombieSmooth"),
    ("robots", "Quaternius", "George Leela Mike Stan"),
    ("universal animation library", "Quaternius", "UniversalAnimationLibrary_Standard"),
    ("tanks", "Quaternius", "Tank Tank4"),
    ("objects", "Quaternius", "Bouncer Chest Lever"),
    ("KayKit", "Kay Lousberg", "Knight Mage"),
    ("RobotExpressive", "Tomas Laulhe, modifications by Don McCurdy", "RobotExpressive"),
    ("Mesh2Motion", "Mesh2Motion", "m2m_*"),
    ("procedural", "m2v studio", "procedural_*"),
)


def credit_of(stem: str) -> Credit:
    """The credit of a rig by its file's stem; a file that is not in the table is the user's, and its own pack."""
    for pack, author, models in _PACKS:
        for model in models.split():
            if stem.startswith(model[:-1]) if model.endswith("*") else stem == model:
                return Credit(author, LICENCE, pack)
    return Credit(OWN_AUTHOR, "", stem)
