"""What a clip shows, read off its name."""

from __future__ import annotations

import re

# The first row with a word that a clip's name holds decides, so that "Jump_Attack" is a jump, "Idle_Eating" eating.
WORDS: dict[str, tuple[str, ...]] = {
    "die": ("death", "die", "dead", "dying", "defeat"),
    "hit": ("hit", "hurt", "damage", "react", "recoil", "stun", "block", "dodge", "no_"),
    "jump": ("jump", "leap", "hop", "vault", "jumping"),
    "attack": ("attack", "punch", "kick", "bite", "strike", "slash", "shoot", "sword", "stab", "headbutt", "throw",
               "spell", "cast", "aim", "reload", "melee", "weapon", "gun", "fire", "chop", "stomp"),
    "eat": ("eat", "graze", "drink", "peck", "feed", "consume"),
    "swim": ("swim", "float", "treading"),
    "fly": ("fly", "flying", "flap", "glide", "soar", "hover"),
    "dance": ("dance", "dancing", "cheer", "victory", "win", "celebrate"),
    "run": ("run", "gallop", "sprint", "trot", "jog", "dash", "charge", "canter", "running"),
    "walk": ("walk", "strafe", "walking", "sneak", "step", "stroll"),
    "climb": ("climb", "ladder", "hang"),
    "fall": ("fall", "falling", "land", "roll", "slip", "trip"),
    "gesture": ("wave", "yes", "no", "thumbsup", "clap", "point", "talk", "nod", "salute", "interact", "pickup", "pick",
                "use", "push", "pull", "open", "close", "punch", "give", "carry", "lift", "fix", "button"),
    "sit": ("sit", "lie", "sleep", "rest", "crouch", "duck", "lay", "lying", "standing", "stand"),
    "idle": ("idle", "breath", "look", "wait", "pose", "tpose", "stare", "headlow"),
}  # fmt: skip
BEHAVIOURS = (*WORDS, "other")


def behaviour_of(name: str) -> str:
    """One of `BEHAVIOURS` for a clip's name, however it is spelled ("AnimalArmature|Idle_Eating", "jumpStart")."""
    last = re.split(r"[|/]", name)[-1]
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).lower()
    pieces = [piece for piece in re.split(r"[^a-z]+", spaced) if piece]
    for behaviour, words in WORDS.items():
        if any(piece.startswith(word) if len(word) > 3 else piece == word for word in words for piece in pieces):
            return behaviour
    return "other"
