"""Guesses the behaviour a clip shows from its name."""

from __future__ import annotations

import re
from functools import cache

# The first row with a word of the clip's name decides: "Jump_Attack" is a jump, "Idle_Eating" eating, "Walk_Gun"
# walking. A word also counts in its forms (eat, eats, eating); one with "_" stands for several words in a row.
_ROWS: tuple[tuple[str, str], ...] = (
    ("die", "death die dead dying defeat"),
    ("hit", "hit hurt damage react recoil stun block dodge parry flinch"),
    ("jump", "jump leap hop vault bounce rear"),
    ("attack", "attack punch kick bite strike slash slice shoot swordslash stab headbutt head_but head_butt throw aim "
               "reload chop stomp claw spellcast cast"),
    ("eat", "eat graze drink peck feed consume chew"),
    ("swim", "swim float tread_water treading"),
    ("fly", "fly flap glide soar hover"),
    ("dance", "dance cheer victory win celebrate"),
    ("run", "run gallop sprint trot jog dash charge canter"),
    ("walk", "walk strafe sneak step stroll crawl slither sidewind side_winding turn fwd forward forwards backward "
             "backwards"),
    ("climb", "climb ladder hang"),
    ("fall", "fall land roll slip trip flop out_of_water"),
    ("sit", "sit lie lay sleep rest crouch duck kneel stand_up standup drive"),
    ("gesture", "wave yes no thumb thumbs clap point talk speak nod salute hello interact pickup pick use push pull "
                "open close give carry lift fix work fetch button lever bark howl roar growl sniff"),
    ("idle", "idle breathe breath look wait pose tpose stare stand headlow coil coiled"),
    ("attack", "gun sword weapon spell melee ranged fire"),  # names of weapons, if no word tells the behaviour
)  # fmt: skip
BEHAVIOURS = (*dict.fromkeys(behaviour for behaviour, _ in _ROWS), "other")


@cache
def behaviour_of(name: str) -> str:
    """One of `BEHAVIOURS` for a clip's name, however it is spelled ("AnimalArmature|Idle_Eating", "jumpStart")."""
    last = re.split(r"[|/]", name)[-1]
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).lower()
    plain = "_".join(piece for piece in re.split(r"[^a-z]+", apart) if piece)
    for behaviour, words in _ROWS:
        if any(re.search(_form(word), plain) for word in words.split()):
            return behaviour
    return "other"


@cache
def _form(word: str) -> re.Pattern[str]:
    """The word in any of its forms, between underscores: hop, hops, hopped, hopping; dance, dances, danced, dancing."""
    stem, last = word.removesuffix("e"), word[-1]
    return re.compile(rf"(^|_)({word}|{stem}(e?s|e?d|ing|{last}ed|{last}ing))(_|$)")
