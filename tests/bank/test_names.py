"""What names of clips and joints tell."""

import pytest

from core.assets import asset_path
from core.bank.bank_file import read_bank
from core.bank.behaviours import BEHAVIOURS, behaviour_of

EXPECTED = {
    "die": "Death01 Dead_Floating Alien_Death",
    "hit": "HitReact HitRecieve_2 Block_Hit Dodge_Left Idle_HitReact_Left",
    "jump": "Jump_Attack jumpStart Gallop_Jump Bouncer_Bounce swordAttackJump Rear",
    "attack": "1H_Melee_Attack_Chop Head_But Bite_Front Spellcasting 1H_Ranged_Aiming Run_swordAttack Weapon",
    "eat": "Eating AnimalArmature|Idle_Eating Drinking_Loop",
    "swim": "Swim.001 Swimming_Fast Swim_Idle_Loop",
    "fly": "Fly_Glide Flying_Idle Flap",
    "dance": "Dance_Loop dancing Cheer",
    "run": "Trot Jog_Fwd_Loop Running_Strafe_Left Run_Gun Run_swordRight",
    "walk": "Walk_Gun Side_winding Turn_Left Tank_Backwards ZombieCrawl Crouch_Fwd_Loop",
    "fall": "Roll_sword Out_Of_Water Falling",
    "sit": "Sitting Man_Sitting Sitting_Enter SitIdle Lie_StandUp Fixing_Kneeling Driving_Loop Sitting_Talking_Loop",
    "gesture": "ThumbsUp Idle_Talking_Loop Howl Fetch Lever_On Chest_Open Working Hello",
    "idle": "Idle_Gun Sword_Idle 2H_Melee_Idle Coiled Idle_2_HeadLow Bouncer_Idle Man_Standing",
    "other": "ArmatureAction Beat Notice Creature",
}


@pytest.mark.parametrize("behaviour, name", [(b, name) for b, names in EXPECTED.items() for name in names.split()])
def test_what_a_clip_shows_is_read_off_its_name(behaviour: str, name: str) -> None:
    assert behaviour in BEHAVIOURS and behaviour_of(name) == behaviour


def test_nearly_every_clip_of_the_bank_that_ships_is_understood() -> None:
    clips = [clip for shape in read_bank(asset_path("bank", "motions.safetensors")) for clip in shape.clips]
    assert all(clip.behaviour == behaviour_of(clip.name) for clip in clips)
    assert {clip.name.split("|")[-1] for clip in clips if clip.behaviour == "other"} <= {
        "ArmatureAction", "ArmatureAction.002"
    }  # fmt: skip
