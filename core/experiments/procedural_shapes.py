"""Procedural creatures and appliances as shapes of the bank of motions: bodies and hinges that no rig shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from core.bank.credits import credit_of
from core.bank.read_sequence import MeshMotion, shape_of_motions
from core.bank.shape import BankShape
from core.data.procedural import ProceduralSource

FRAMES = 49
CELLS = 64  # along the longest side of the mesh that nodes are sampled on
SEED = 1000  # of the first motion
OPENS = "open and close"
# What each kind is seen doing, as its clip is called. Dogs, horses and people are there in plenty as rigs.
DOING = {
    "fish": "swim", "snake": "crawl", "bird": "fly", "spider": "walk", "laptop": OPENS, "door": OPENS, "stapler": OPENS,
    "eyeglasses": OPENS, "washing_machine": OPENS, "refrigerator": OPENS, "oven": OPENS,
}  # fmt: skip


def procedural_shapes(each: int, kinds: Sequence[str] = tuple(DOING)) -> Iterator[BankShape]:
    """`each` members of every kind with one clip each, of identities and motions that evaluation does not hold out."""
    source = ProceduralSource()
    for kind in kinds:
        for number in range(each):
            member = source.mesh_sequence(number, SEED + number, FRAMES, CELLS, kind)
            name = f"procedural_{kind}_{number + 1}"
            clip = MeshMotion(DOING[kind], member.vertices, member.fps)
            shape = shape_of_motions(name, member.vertices[0], member.faces, [clip], credit_of(name), kind)
            yield replace(shape, source=name)
