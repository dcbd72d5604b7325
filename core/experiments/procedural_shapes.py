"""Makes procedural creatures and appliances into shapes of the bank: bodies and hinges that no rig has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from core.bank.building import OnProgress
from core.bank.credits import credit_of
from core.bank.read_sequence import MeshMotion, shape_of_motions
from core.bank.shape import BankShape
from core.data.procedural import ProceduralSource
from core.errors import DataError

MOST_EACH = 100  # 1,100 shapes, more than all shipped rigs; every drag searches them
FRAMES = 49
CELLS = 64  # along the longest side of the mesh that nodes are sampled on
SEED = 1000  # of the first motion
OPENS = "open and close"
# What each kind does, which is its clip's name. Dogs, horses and people are left to the rigs.
DOING = {
    "fish": "swim", "snake": "crawl", "bird": "fly", "spider": "walk", "laptop": OPENS, "door": OPENS, "stapler": OPENS,
    "eyeglasses": OPENS, "washing_machine": OPENS, "refrigerator": OPENS, "oven": OPENS,
}  # fmt: skip


def check_count(each: int) -> None:
    """Raise DataError where `each` is out of range."""
    if not 0 <= each <= MOST_EACH:
        raise DataError(f"{each:,} procedural members of each kind is out of range; ask for 0 to {MOST_EACH}.")


def procedural_shapes(
    each: int, kinds: Sequence[str] = tuple(DOING), on_progress: OnProgress | None = None
) -> Iterator[BankShape]:
    """`each` members of every kind with one clip each, of identities and motions not held out for evaluation.

    `on_progress` is called before each member, since some take seconds, and at the end; what it raises stops the work.
    Raises DataError for a negative number or more than `MOST_EACH`.
    """
    check_count(each)
    source, total, done = ProceduralSource(), each * len(kinds), 0
    for kind in kinds:
        for number in range(each):
            name = f"procedural_{kind}_{number + 1}"
            if on_progress is not None:
                on_progress(done, total, name)
            member = source.mesh_sequence(number, SEED + number, FRAMES, CELLS, kind)
            clip = MeshMotion(DOING[kind], member.vertices, member.fps)
            shape = shape_of_motions(name, member.vertices[0], member.faces, [clip], credit_of(name), kind)
            yield replace(shape, source=name)
            done += 1
    if on_progress is not None and total:
        on_progress(total, total, "Procedural members")
