"""Articulated objects as in Shape2Motion: rigid parts that open and close about a hinge."""

from __future__ import annotations

import torch
from torch import Tensor

from core.data.creatures.motion import cycles, gesture, wave
from core.data.creatures.rig import CreaturePose, CreatureRig, RigBuilder
from core.data.creatures.seeds import SeededDraw

BLEND = 0.002  # the smooth union of rigid parts is nearly sharp


def opening(act: SeededDraw, frames: int, least: float, most: float) -> Tensor:
    """Angle [n, T] of a hinge: opened, closed, or swung both ways, once, between two random angles."""
    low = act.between(least, least + 0.25 * (most - least))[:, None]
    high = act.between(least + 0.6 * (most - least), most)[:, None]
    once = gesture(act, frames, returns=0.3)
    swinging = act.chance(0.15)[:, None].float()
    once = once + swinging * (0.5 - 0.5 * wave(cycles(act, frames, 0.4, 1.0), 0.25) - once)
    closing = act.chance(0.5)[:, None]
    return low + (high - low) * torch.where(closing, 1 - once, once)


def drift(act: SeededDraw, frames: int, pose: CreaturePose) -> None:
    """A slide and turn of the whole object, in almost half of the clips."""
    moving = act.chance(0.45)[:, None].float()
    once = gesture(act, frames, returns=0.2) * moving
    pose.heading = pose.heading + act.between(-0.8, 0.8)[:, None] * once
    pose.move(x=act.between(-0.18, 0.18)[:, None] * once, z=act.between(-0.18, 0.18)[:, None] * once)


def laptop(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """A base with a touch pad ridge and a screen on a hinge at its back edge."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    width, depth = shape.between(0.75, 1.0), shape.between(0.5, 0.75)
    base, lid = shape.between(0.025, 0.06), shape.between(0.018, 0.04)
    rig.box("base", None, vec(0, base / 2, depth / 2), vec(width, base, depth), joint=vec(0, 0, 0))
    hinge = vec(0, base + lid / 2, -lid * 0.3)
    tall = depth * shape.between(0.92, 1.02)
    rig.box("screen", "base", hinge + vec(0, tall / 2, 0), vec(width, tall, lid), joint=hinge)
    rig.box("bar", "base", hinge, vec(width * shape.between(0.3, 0.9), lid, lid), joint=hinge)
    pose = CreaturePose(rig, frames)
    pose.turn("screen", x=1.5 - opening(act, frames, 0.12, 2.3))
    drift(act, frames, pose)
    return rig.build(BLEND, rigid=True), pose


def door(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """A frame of two posts, lintel and sill with one or two leaves and their handles."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    double = shape.chance(0.35)
    width = torch.where(double, shape.between(0.6, 0.9), shape.between(0.36, 0.6))
    bar, deep, leaf = shape.between(0.03, 0.06), shape.between(0.04, 0.1), shape.between(0.02, 0.035)
    rig.box("sill", None, vec(0, bar / 4, 0), vec(width + 2 * bar, bar / 2, deep))
    rig.box("lintel", "sill", vec(0, 1 - bar / 2, 0), vec(width + 2 * bar, bar, deep))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        rig.box(f"post_{side}", "sill", vec(sign * (width + bar) / 2, 0.5, 0), vec(bar, 1.0, deep))
    tall, gap = 1 - 1.5 * bar - 0.03, 0.008
    pose_turns = opening(act, frames, 0.05, 1.9), opening(act, frames, 0.05, 1.9)
    together = act.chance(0.7)[:, None]
    for side, sign in (("l", 1.0), ("r", -1.0)):
        # A single door has one wide leaf; its second leaf shrinks to a strip beside the post.
        share = torch.where(double, 0.5, 0.86 if side == "l" else 0.14)
        wide = width * share - 2 * gap
        hinge = vec(sign * (width / 2 - gap), 0.5, 0)
        rig.box(f"leaf_{side}", "sill", hinge - vec(sign * wide / 2, 0, 0), vec(wide, tall, leaf), joint=hinge)
        knob = hinge + vec(-sign * wide * 0.86, -0.03, 0)
        rig.box(f"handle_{side}", f"leaf_{side}", knob, vec(0.02, 0.08, leaf + 0.07), joint=hinge, rounding=0.009)
    pose = CreaturePose(rig, frames)
    inwards = act.sign()[:, None]
    pose.turn("leaf_l", y=inwards * pose_turns[0])
    second = torch.where(together, pose_turns[0], pose_turns[1]) * double[:, None]
    pose.turn("leaf_r", y=-inwards * second)
    drift(act, frames, pose)
    return rig.build(BLEND, rigid=True), pose


def stapler(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """A base plate, a magazine and a cover on one hinge; pressing moves both."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    length, width = shape.between(0.85, 1.0), shape.between(0.12, 0.24)
    base, cover = shape.between(0.03, 0.07), shape.between(0.06, 0.13)
    rig.box("base", None, vec(0, base / 2, length / 2), vec(width, base, length), joint=vec(0, 0, 0), rounding=0.02)
    hinge = vec(0, base + 0.08, 0.07)
    rig.box("post", "base", vec(0, base + 0.05, 0.07), vec(width * 0.95, 0.12, 0.13), rounding=0.02)
    reach = length * shape.between(0.8, 0.95)
    rig.box("magazine", "base", hinge + vec(0, -0.01, reach / 2), vec(width * 0.6, 0.045, reach), joint=hinge)
    rig.limb("cover", "magazine", hinge + vec(0, cover / 2 + 0.02, 0), hinge + vec(0, cover * 0.4 + 0.02, reach * 0.97),
             cover / 2, cover * 0.38, wide=width * 0.3, joint=hinge)  # fmt: skip
    pose = CreaturePose(rig, frames)
    angle = opening(act, frames, 0.03, 1.1)
    pose.turn("magazine", x=-angle * act.between(0.35, 0.8)[:, None])
    pose.turn("cover", x=-angle * act.between(0.2, 0.7)[:, None])
    drift(act, frames, pose)
    return rig.build(BLEND * 2, rigid=True), pose


def eyeglasses(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """Two rims of rods, a bridge, and two temples that fold in, together or one after the other."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    lens, tall = shape.between(0.34, 0.42), shape.between(0.18, 0.34)
    rod, nose = shape.between(0.012, 0.024), shape.between(0.05, 0.1)
    rig.limb("bridge", None, vec(-nose, tall * 0.2, 0), vec(nose, tall * 0.2, 0), rod)
    reach, hook = shape.between(0.7, 0.95), shape.between(0.0, 0.2)
    inner_slope, outer_slope = shape.between(0.0, 0.06), shape.between(0.0, 0.06)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        inner, outer = sign * nose, sign * (nose + lens)
        corners = [
            vec(inner, tall / 2, 0), vec(outer, tall / 2, 0),
            vec(outer - sign * outer_slope, -tall / 2, 0), vec(inner + sign * inner_slope, -tall / 2, 0),
        ]  # fmt: skip
        for index in range(4):
            rig.limb(f"rim{index}_{side}", "bridge", corners[index], corners[(index + 1) % 4], rod)
        hinge = vec(outer + sign * rod, tall * 0.35, -rod)
        end = rig.limb(f"temple_{side}", "bridge", hinge, hinge - vec(0, 0, reach), rod * 0.9, rod * 0.7)
        rig.limb(f"tip_{side}", f"temple_{side}", end, end - vec(0, hook, 0.08), rod * 0.75, rod * 0.75, joint=hinge)
    pose = CreaturePose(rig, frames)
    first, second = opening(act, frames, 0.0, 1.45), opening(act, frames, 0.0, 1.45)
    both = act.chance(0.6)[:, None]
    pose.turn("temple_l", y=first)
    pose.turn("temple_r", y=-torch.where(both, first, second))
    pose.turn("bridge", x=act.between(-0.25, 0.25)[:, None])
    drift(act, frames, pose)
    return rig.build(BLEND, rigid=True), pose


def _cabinet(rig: RigBuilder, width: Tensor, tall: Tensor, deep: Tensor, wall: Tensor) -> None:
    """A hollow box open to the front (+Z): back, floor, roof and two sides."""
    vec = rig.vector
    rig.box("back", None, vec(0, tall / 2, -deep / 2 + wall / 2), vec(width, tall, wall), joint=vec(0, 0, 0))
    rig.box("floor", "back", vec(0, wall / 2, 0), vec(width, wall, deep))
    rig.box("roof", "back", vec(0, tall - wall / 2, 0), vec(width, wall, deep))
    rig.box("left", "back", vec((width - wall) / 2, tall / 2, 0), vec(wall, tall, deep))
    rig.box("right", "back", vec((wall - width) / 2, tall / 2, 0), vec(wall, tall, deep))


def refrigerator(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """A tall cabinet with shelves, a lower and an upper door that open on the same side."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    width, deep, wall = shape.between(0.38, 0.6), shape.between(0.36, 0.55), shape.between(0.025, 0.045)
    tall, split, slab = rig.number(1.0), shape.between(0.55, 0.75), shape.between(0.03, 0.06)
    _cabinet(rig, width, tall, deep, wall)
    rig.box("middle", "back", vec(0, split, 0), vec(width, wall, deep * 0.96))
    rig.box("shelf", "back", vec(0, split * shape.between(0.4, 0.6), 0), vec(width, 0.02, deep * 0.8))
    sign = shape.sign()
    hinge = vec(sign * width / 2, 0, deep / 2 + slab * 0.6)
    for name, low, top in (("lower", rig.number(0.0), split), ("upper", split, tall)):
        size = vec(width, top - low - 0.014, slab)
        rig.box(f"{name}", "back", hinge + vec(-sign * width / 2, (low + top) / 2, 0), size, joint=hinge)
        grip = hinge + vec(-sign * width * 0.9, (low + top) / 2, slab / 2 + 0.015)
        rig.box(f"grip_{name}", name, grip, vec(0.02, (top - low) * 0.4, 0.03), joint=hinge)
    pose = CreaturePose(rig, frames)
    lower, upper = opening(act, frames, 0.04, 2.1), opening(act, frames, 0.04, 2.1)
    which = act.pick(3)[:, None]
    shut = act.between(0.0, 0.5)[:, None]
    pose.turn("lower", y=sign[:, None] * torch.where(which == 1, shut, lower))
    pose.turn("upper", y=sign[:, None] * torch.where(which == 0, shut, torch.where(which == 2, lower, upper)))
    drift(act, frames, pose)
    return rig.build(BLEND, rigid=True), pose


def oven(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """A cabinet with a rack, a row of knobs above the front, and a door that drops down on its lower edge."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    width, tall, deep = shape.between(0.7, 0.95), shape.between(0.6, 0.9), shape.between(0.5, 0.75)
    wall, panel, slab = shape.between(0.03, 0.06), shape.between(0.1, 0.2), shape.between(0.03, 0.06)
    _cabinet(rig, width, tall, deep, wall)
    rig.box("panel", "back", vec(0, tall - panel / 2, deep / 2 - wall / 2), vec(width, panel, wall))
    rig.box("rack", "back", vec(0, tall * 0.4, 0), vec(width, 0.02, deep * 0.85))
    for index in range(4):
        at = vec(width * (index - 1.5) * 0.22, tall - panel / 2, deep / 2)
        rig.limb(f"knob{index}", "back", at, at + vec(0, 0, 0.03), 0.024, 0.022)
    hinge = vec(0, 0.02, deep / 2 + slab * 0.6)
    high = tall - panel - 0.04
    rig.box("door", "back", hinge + vec(0, high / 2, 0), vec(width, high, slab), joint=hinge)
    grip = hinge + vec(0, high * 0.88, slab / 2 + 0.02)
    rig.box("grip", "door", grip, vec(width * 0.8, 0.03, 0.04), joint=hinge)
    pose = CreaturePose(rig, frames)
    pose.turn("door", x=opening(act, frames, 0.03, 1.55))
    for index in range(4):
        pose.turn(f"knob{index}", z=act.between(-2.0, 2.0)[:, None] * gesture(act, frames, 0.0))
    drift(act, frames, pose)
    return rig.build(BLEND, rigid=True), pose


def washing_machine(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """A closed cabinet with a drum opening, a round-cornered porthole door, a drawer and a dial."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    width, top, deep = shape.between(0.65, 0.9), shape.between(0.9, 1.0), shape.between(0.55, 0.8)
    wall, slab = shape.between(0.03, 0.05), shape.between(0.03, 0.06)
    _cabinet(rig, width, top, deep, wall)
    hole, centre = width * shape.between(0.5, 0.66), top * shape.between(0.42, 0.52)
    front = deep / 2 - wall / 2
    rig.box("above", "back", vec(0, (centre + hole / 2 + top) / 2, front), vec(width, top - centre - hole / 2, wall))
    rig.box("below", "back", vec(0, (centre - hole / 2) / 2, front), vec(width, centre - hole / 2, wall))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        strip = (width - hole) / 2
        rig.box(
            f"front_{side}",
            "back",
            vec(sign * (width - strip) / 2, centre, front),
            vec(strip - 0.008, hole + 0.03, wall - 0.008),
        )
    hand = shape.sign()
    hinge = vec(hand * hole * 0.56, centre, deep / 2 + slab * 0.6)
    at = hinge - vec(hand * hole * 0.56, 0, 0)
    # A round door: four crossed slabs, together an octagon.
    half, rim = hole * 0.53, 0.012
    for index, (x, y) in enumerate(((1.0, 0.0), (0.7071, 0.7071), (-0.7071, 0.7071), (0.0, 1.0))):
        tip = vec(half - rim, half - rim, 0) * vec(x, y, 0)
        broad, thick = half * 0.4142 - rim, slab / 2 - rim
        tall, wide = (thick, broad) if index == 3 else (broad, thick)
        parent = "back" if index == 0 else "door0"
        rig.limb(f"door{index}", parent, at - tip, at + tip, rim, tall=tall, wide=wide, joint=hinge)
    rig.box("dome", "door0", at - vec(0, 0, slab), vec(hole * 0.6, hole * 0.6, slab * 2), joint=hinge, rounding=0.03)
    row = top * 0.9
    rig.box("drawer", "back", vec(-width * 0.28, row, deep / 2 + 0.012), vec(width * 0.32, 0.08, 0.05))
    knob = vec(width * 0.25, row, deep / 2)
    rig.limb("dial", "back", knob, knob + vec(0, 0, 0.035), 0.035, 0.03)
    pose = CreaturePose(rig, frames)
    pose.turn("door0", y=hand[:, None] * opening(act, frames, 0.03, 2.2))
    pose.turn("dial", z=act.between(-2.0, 2.0)[:, None] * gesture(act, frames, 0.0))
    drift(act, frames, pose)
    return rig.build(BLEND, rigid=True), pose
