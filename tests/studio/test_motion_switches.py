"""What is off is said in as few names as possible, and comes back as it was."""

from core.bank.bank_file import Listed
from m2v_studio.document.motion_switches import off_keys, packs_of, state_of, switched

HORSE = Listed("Horse", "farm", "animals", "A", (("Walk", "walk", 12), ("Run", "run", 12)))
COW = Listed("Cow", "farm", "animals", "A", (("Walk", "walk", 12),))
MINE = Listed("Rex", "", "animals", "yours", (("Walk", "walk", 12),))
PACKS = packs_of([HORSE, COW], [MINE])


def test_the_users_own_come_first() -> None:
    assert [(pack.name, pack.own) for pack in PACKS] == [("Rex", True), ("farm", False)]


def test_a_clip_then_a_model_then_a_pack() -> None:
    clip = switched(PACKS, (), ["Horse/Walk"], on=False)
    assert clip == ("Horse/Walk",)
    model = switched(PACKS, clip, ["Horse/Run"], on=False)
    assert model == ("Horse",)
    pack = switched(PACKS, model, ["Cow/Walk"], on=False)
    assert pack == ("farm",)
    assert switched(PACKS, pack, ["Horse/Run"], on=True) == ("Cow", "Horse/Walk")
    assert switched(PACKS, pack, PACKS[1].keys, on=True) == ()


def test_names_that_are_not_at_hand_are_kept() -> None:
    assert switched(PACKS, ("elsewhere",), ["Cow/Walk"], on=False) == ("Cow", "elsewhere")


def test_some_of_a_pack() -> None:
    assert state_of(PACKS[1].keys, off_keys(PACKS, ("Cow",))) == "some"
    assert state_of(PACKS[1].keys, off_keys(PACKS, ("A",))) == "off"
