"""People: walking, running, reaching, waving, sitting down, jumping, dancing on the spot."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core.data.creatures.legged import _jump, _travel, place_leg
from core.data.creatures.motion import cycles, gesture, step_cycle, wave
from core.data.creatures.rig import CreaturePose, CreatureRig, RigBuilder
from core.data.creatures.seeds import SeededDraw

SIDES = (("l", 1.0), ("r", -1.0))


def biped(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """Human proportions from child to adult, thin to heavy; arms rest anywhere from the sides to a T."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    leg, trunk = shape.between(0.4, 0.52), shape.between(0.27, 0.34)
    girth = shape.between(0.045, 0.08)
    shoulder = 0.95 * girth + shape.between(0.045, 0.065)
    hip_width = shape.between(0.045, 0.065)
    limb = shape.between(0.028, 0.046)
    arm = shape.between(0.26, 0.36)
    skull = shape.between(0.055, 0.085)
    pelvis = vec(0, leg, 0)
    waist = pelvis + vec(0, trunk * 0.38, shape.between(-0.01, 0.015))
    collar = waist + vec(0, trunk * 0.52, 0)
    rig.limb("pelvis", None, pelvis, pelvis + vec(0, 0.03, 0), girth * 0.95, wide=hip_width * 0.5)
    rig.limb("belly", "pelvis", pelvis + vec(0, 0.04, 0), waist, girth * shape.between(0.8, 1.12), girth * 0.95,
             wide=hip_width * 0.5)  # fmt: skip
    rig.limb("chest", "belly", waist, collar, girth, girth * 0.85, wide=0.8 * shoulder - 0.6 * girth)
    crown = rig.limb("neck", "chest", collar, collar + vec(0, 0.055, 0.012), girth * 0.5, girth * 0.45)
    rig.limb("head", "neck", crown + vec(0, skull * 0.5, 0.01), crown + vec(0, skull * 1.15, 0.012), skull,
             joint=crown)  # fmt: skip
    legs: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    # Arms keep clear of the trunk, or both would merge into one surface.
    spread = 0.24 + 1.2 * shape.unit() ** 2
    arms: dict[str, Tensor] = {}
    stance = shape.between(0.0, 0.03)
    for side, sign in SIDES:
        hip = pelvis + vec(sign * hip_width, -0.01, 0)
        ankle = vec(sign * (hip_width + stance), 0.045, -0.01)
        knee = hip + 0.5 * (ankle - hip) + vec(0, 0, 0.012)
        rig.limb(f"thigh_{side}", "pelvis", hip, knee, limb * 1.55, limb * 1.05)
        rig.limb(f"shank_{side}", f"thigh_{side}", knee, ankle, limb * 1.05, limb * 0.7)
        rig.limb(f"foot_{side}", f"shank_{side}", ankle + vec(0, -0.02, -0.012), ankle + vec(0, -0.028, 0.075),
                 limb * 0.66, limb * 0.5, wide=0.008, joint=ankle)  # fmt: skip
        legs[side] = (hip, knee, ankle)
        top = collar + vec(sign * (shoulder + 0.5 * limb), -0.02, 0)
        along = vec(sign * spread.sin(), -spread.cos(), 0)
        elbow = rig.limb(f"upper_{side}", "chest", top, top + along * (arm * 0.52)[:, None], limb * 0.95, limb * 0.75)
        wrist = rig.limb(f"fore_{side}", f"upper_{side}", elbow, elbow + along * (arm * 0.48)[:, None],
                         limb * 0.75, limb * 0.5)  # fmt: skip
        rig.limb(f"hand_{side}", f"fore_{side}", wrist, wrist + along * 0.05, limb * 0.6, limb * 0.45, wide=0.01)
        arms[side] = spread[:, None]

    pose = CreaturePose(rig, frames)
    _motion(act, frames, pose, legs, leg, spread[:, None])
    return rig.build(shape.between(0.008, 0.015)), pose


def _motion(
    act: SeededDraw,
    frames: int,
    pose: CreaturePose,
    legs: dict[str, tuple[Tensor, Tensor, Tensor]],
    leg: Tensor,
    spread: Tensor,
) -> None:
    mode = act.unit()[:, None]

    def share(low: float, high: float) -> Tensor:
        return ((mode >= low) & (mode < high)).float()

    walking, sitting, jumping = share(0, 0.42), share(0.42, 0.54), share(0.54, 0.66)
    reaching, waving, dancing = share(0.66, 0.84), share(0.84, 0.93), share(0.93, 1.01)
    phase, once = cycles(act, frames), gesture(act, frames)
    leg = leg[:, None]
    running = act.chance(0.35)[:, None].float() * walking
    duty = torch.where(running > 0, 0.4, 0.6)
    stride = leg * act.between(0.35, 0.8)[:, None] * (1 + 0.3 * running)
    lift = leg * (act.between(0.06, 0.16)[:, None] + 0.22 * running)
    crouch, flight, _ = _jump(act, frames, leg[:, 0])
    deep = act.between(0.35, 0.62)[:, None]
    drop = sitting * once * deep * leg + jumping * 1.1 * crouch + dancing * 0.05 * leg * (1 + wave(2 * phase))
    stoop = torch.where(act.chance(0.4)[:, None], act.between(0.1, 0.4)[:, None], 0.0) * reaching * once
    drop = drop + stoop * leg * 0.6
    bob = walking * leg * 0.025 * (1 + running) * wave(2 * phase, 0.1) - 0.02 * leg * walking
    lean = running * 0.2 + sitting * once * act.between(0.25, 0.6)[:, None] + jumping * 1.6 * crouch + 1.3 * stoop
    back = sitting * once * 0.25 * leg + 0.25 * stoop * leg
    shift = 0.03 * act.between(0.3, 1.0)[:, None] * (dancing + 0.4 * walking) * wave(phase)
    pose.move(x=shift, y=bob - drop + jumping * flight, z=-back)
    twist = act.between(0.05, 0.22)[:, None] * (walking + 1.5 * dancing) * wave(phase, 0.25)
    pose.turn("pelvis", x=0.35 * lean, y=twist, z=0.12 * dancing * wave(phase))
    pose.turn("belly", x=0.35 * lean, y=-0.8 * twist, z=-0.12 * dancing * wave(phase))
    pose.turn("chest", x=0.3 * lean, y=-0.8 * twist)
    glance = act.between(-0.7, 0.7)[:, None] * once * (1 - walking)
    pose.turn("neck", x=-0.4 * lean, y=0.4 * glance)
    pose.turn("head", x=-0.4 * lean, y=0.6 * twist + 0.6 * glance)
    for index, (side, _sign) in enumerate(SIDES):
        hip, _, ankle = legs[side]
        forward, up = step_cycle(phase + 0.5 * index, duty)
        down = (hip - ankle)[:, 1:2] + bob - drop - walking * lift * up - jumping * 0.25 * flight
        down = torch.maximum(down, 0.25 * leg)
        ahead = (ankle - hip)[:, 2:3] + walking * stride * (forward - 0.05) + back
        names = (f"thigh_{side}", f"shank_{side}", f"foot_{side}")
        tiptoe = walking * (0.6 + 0.3 * running) * up * (0.5 - forward) + jumping * 1.2 * flight / leg
        place_leg(pose, names, legs[side], ahead, down, 1.0, 0.35 * lean, foot_pitch=tiptoe)
    _arms(act, pose, phase, once, spread, walking, running, sitting, jumping * (flight * 2 - crouch) / leg,
          reaching, waving, dancing, lean)  # fmt: skip
    _travel(act, frames, pose, phase, walking, stride, duty, jumping)


def _arms(
    act: SeededDraw, pose: CreaturePose, phase: Tensor, once: Tensor, spread: Tensor, walking: Tensor, running: Tensor,
    sitting: Tensor, leap: Tensor, reaching: Tensor, waving: Tensor, dancing: Tensor, lean: Tensor,
) -> None:  # fmt: skip
    """Counter-swing while walking, one- and two-handed reaching, a waving hand, arms thrown up in a jump."""
    both, right = act.chance(0.4)[:, None].float(), act.chance(0.5)[:, None].float()
    swing = act.between(0.2, 0.7)[:, None] * (1 + 0.4 * running)
    elbow = act.between(0.05, 0.4)[:, None] + running * 1.1
    height, aside = act.between(0.4, 2.7)[:, None], act.between(-0.4, 0.9)[:, None]
    fold = act.between(0.5, 1.6)[:, None]  # the elbow is folded half-way through a reach and straight at its end
    raise_by, rate = act.between(1.6, 2.7)[:, None], 1 + act.pick(3)[:, None]
    keep = act.chance(0.3)[:, None].float()  # arms that stay as they rest, as in a T pose
    lowered = (spread - 0.25).clamp(min=0) * (1 - keep)
    for index, (side, sign) in enumerate(SIDES):
        chosen = torch.maximum(both, right if index else 1 - right)
        reach, hail = reaching * chosen * once, waving * chosen
        swung = (walking + 0.5 * dancing) * swing * -wave(phase + 0.5 * index, 0.25)
        up = hail * once * raise_by + 1.2 * leap.clamp(-0.3, 1.6) * 0.6 + 0.35 * sitting * once
        up = up + dancing * 0.5 * (1 + wave(phase + 0.5 * index))
        pose.turn(f"upper_{side}", x=swung - reach * height - 0.2 * lean, z=sign * (up - lowered + reach * aside * 0.5))
        beat = hail * once * 0.5 * wave(rate * phase)
        bent = elbow * (walking + dancing) + reaching * chosen * fold * 4 * once * (1 - once) + 0.4 * sitting * once
        pose.turn(f"fore_{side}", x=-bent - 0.25 * swung.clamp(max=0).abs(), z=sign * (0.5 * hail * once) + beat)
        pose.turn(f"hand_{side}", x=0.2 * math.pi * reach, z=0.5 * beat)
    pose.turn("chest", y=0.3 * reaching * once * (1 - both) * (2 * right - 1))
