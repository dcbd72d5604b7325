"""Animals that walk on four legs (cats, dogs, horses, long-necked dinosaurs) and on eight (spiders)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core.data.creatures.motion import TAU, cycles, gesture, rest_angle, smoothstep, step_cycle, two_bone, wave
from core.data.creatures.rig import CreaturePose, CreatureRig, RigBuilder
from core.data.creatures.seeds import SeededDraw


def place_leg(
    pose: CreaturePose,
    names: tuple[str, str, str | None],
    points: tuple[Tensor, Tensor, Tensor],
    forward: Tensor,
    down: Tensor,
    bend: float,
    pitch: Tensor | float,
    foot_pitch: Tensor | float = 0.0,
) -> None:
    """Turn hip, knee and ankle so that the ankle lies (forward, down) [n, T] from the hip, at any pitch of the body."""
    hip, knee, ankle = points
    upper_rest, lower_rest = rest_angle(hip, knee), rest_angle(knee, ankle)
    upper = (knee - hip)[:, 1:].norm(dim=-1, keepdim=True)
    lower = (ankle - knee)[:, 1:].norm(dim=-1, keepdim=True)
    first, second = two_bone(forward, down, upper, lower, bend)
    first, second = first - upper_rest, second - lower_rest
    pose.turn(names[0], x=first - pitch)
    pose.turn(names[1], x=second - first)
    if names[2] is not None:
        pose.turn(names[2], x=foot_pitch - second)


def quadruped(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """Four-legged animals: walk, trot, pace, bound; sitting down, jumping, grazing, looking about."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    dino = shape.chance(0.2)
    torso, thick = shape.between(0.36, 0.52), shape.between(0.065, 0.125)
    height = torch.where(dino, shape.between(0.2, 0.3), shape.between(0.24, 0.5))
    belly, rise = shape.between(0.75, 1.05), shape.between(-0.03, 0.03)
    width = thick * shape.between(0.55, 0.85)
    back = height + thick * 0.5
    rear, mid = vec(0, back - rise, -torso / 2), vec(0, back + 0.01, 0)
    front = vec(0, back + rise, torso / 2)
    rig.limb("hips", None, mid, rear, thick * belly, thick * 0.9, joint=mid)
    rig.limb("chest", "hips", mid, front, thick * belly, thick * shape.between(0.85, 1.1))
    neck_angle = shape.between(0.15, 1.25)
    neck = torch.where(dino, shape.between(0.25, 0.5), shape.log_between(0.07, 0.28))
    neck_radius = thick * shape.between(0.4, 0.65)
    step = torch.stack([torch.zeros_like(neck), neck * neck_angle.sin(), neck * neck_angle.cos()], -1) / 2
    base = front + vec(0, thick * 0.35, thick * 0.2)
    bend = rig.limb("neck1", "chest", base, base + step, neck_radius * 1.25, neck_radius)
    top = rig.limb("neck2", "neck1", bend, bend + step, neck_radius, neck_radius * 0.85)
    head = torch.where(dino, shape.between(0.05, 0.1), shape.between(0.08, 0.15))
    skull = head * shape.between(0.42, 0.6)
    face = rig.limb("head", "neck2", top, top + vec(0, 0.1 * head, head * 0.6), skull)
    snout = head * shape.between(0.3, 1.3)
    rig.limb("snout", "head", face, face + vec(0, -snout * 0.3, snout), skull * 0.65, skull * 0.45)
    ear, spread = shape.between(0.02, 0.09), shape.between(0.2, 0.9)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        root = top + vec(sign * skull * 0.6, skull * 0.75, head * 0.2)
        tip = root + vec(sign * ear * spread, ear, 0)
        rig.limb(f"ear_{side}", "head", root, tip, skull * 0.28, skull * 0.12, wide=skull * 0.1)
    tail = torch.where(dino, shape.between(0.35, 0.65), shape.between(0.08, 0.45)) / 4
    tail_radius = torch.where(dino, thick * 0.7, thick * shape.between(0.15, 0.35))
    droop, curl = shape.between(-0.5, 1.2), shape.between(-0.4, 0.1)
    at, above = rear + vec(0, thick * 0.3, -thick * 0.6), "hips"
    for index in range(4):
        angle = torch.where(dino, 0.2 * droop, droop) + index * curl
        to = at + vec(0, -tail * angle.sin(), -tail * angle.cos())
        thin = tail_radius * (1 - 0.2 * index)
        at, above = rig.limb(f"tail{index}", above, at, to, thin, thin * 0.8), f"tail{index}"
    leg = thick * shape.between(0.28, 0.5)
    foot = shape.between(0.03, 0.07)
    legs: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    kink = shape.between(0.06, 0.16)
    for name, sign, at, parent in (
        ("fl", 1.0, front, "chest"), ("fr", -1.0, front, "chest"), ("bl", 1.0, rear, "hips"), ("br", -1.0, rear, "hips")
    ):  # fmt: skip
        is_front = parent == "chest"
        hip = at + vec(sign * width, -thick * 0.2, -thick * 0.1)
        reach = hip[:, 1] - leg * 0.75
        knee = hip + vec(sign * 0.01, -reach * 0.48, (-kink if is_front else kink) * height)
        ankle = hip + vec(sign * 0.01, -reach, -0.02 * height if is_front else -0.12 * height)
        rig.limb(f"{name}_upper", parent, hip, knee, leg * (1.25 if is_front else 1.6), leg)
        rig.limb(f"{name}_lower", f"{name}_upper", knee, ankle, leg * 0.95, leg * 0.7)
        rig.limb(f"{name}_foot", f"{name}_lower", ankle, ankle + vec(0, -leg * 0.1, foot), leg * 0.75, leg * 0.65)
        legs[name] = (hip, knee, ankle)

    pose = CreaturePose(rig, frames)
    _quadruped_motion(act, frames, pose, legs, height, torso, dino)
    return rig.build(shape.between(0.008, 0.016)), pose


def _quadruped_motion(
    act: SeededDraw, frames: int, pose: CreaturePose, legs: dict[str, tuple[Tensor, Tensor, Tensor]],
    height: Tensor, torso: Tensor, dino: Tensor,
) -> None:  # fmt: skip
    mode = act.unit()
    walking = (mode < 0.62)[:, None].float()
    sitting = ((mode >= 0.62) & (mode < 0.74))[:, None].float()
    jumping = ((mode >= 0.74) & (mode < 0.86))[:, None].float()
    looking = (mode >= 0.86)[:, None].float() + 0.25 * walking * act.chance(0.3)[:, None]
    phase, once = cycles(act, frames), gesture(act, frames)
    # Phase of each leg: walk, trot, pace, bound.
    gait = act.pick(4)
    offsets = torch.tensor([[0.0, 0.5, 0.75, 0.25], [0, 0.5, 0.5, 0], [0, 0.5, 0, 0.5], [0, 0.1, 0.5, 0.6]])
    offset = offsets.to(act.device)[gait]
    bound = (gait == 3)[:, None].float()
    duty = torch.where(gait == 0, act.between(0.58, 0.7), act.between(0.4, 0.55))[:, None]
    stride = act.between(0.45, 1.05)[:, None] * height[:, None]
    stride = torch.minimum(stride, 1.1 * torso[:, None]) * torch.where(dino, 0.8, 1.0)[:, None]
    lift = act.between(0.1, 0.26)[:, None] * height[:, None]

    bob = walking * 0.035 * height[:, None] * act.between(0.3, 1.6)[:, None] * wave(2 * phase - bound * phase, 0.1)
    rock = walking * bound * act.between(0.05, 0.22)[:, None] * wave(phase, 0.2)
    crouch, flight, tilt = _jump(act, frames, height)
    pitch = rock - sitting * once * act.between(0.35, 0.75)[:, None] - jumping * tilt
    drop = sitting * once * 0.42 * height[:, None] * act.between(0.7, 1.1)[:, None] + jumping * crouch
    sway = walking * (1 - bound) * act.between(0.02, 0.12)[:, None] * wave(phase)
    pose.turn("hips", x=pitch, y=0.5 * sway, z=0.3 * sway)
    pose.turn("chest", x=-1.8 * rock, y=-sway)
    pose.move(y=bob - drop * torch.where(sitting > 0, 0.55, 1.0) + jumping * flight)
    for index, (name, points) in enumerate(legs.items()):
        forward, up = step_cycle(phase + offset[:, index : index + 1], duty)
        hip, ankle = points[0], points[2]
        rest_forward, rest_down = (ankle - hip)[:, 2:3], (hip - ankle)[:, 1:2]
        is_front = name[0] == "f"
        local_pitch = pitch - (1.8 * rock if is_front else 0.0)
        # The body's pitch raises this hip, but the foot stays on the ground.
        rise = hip[:, 2:3] * -pitch.sin()
        settle = bob - drop * torch.where(sitting > 0, 0.55, 1.0)
        down = rest_down + walking * (settle - lift * up) + rise * (1 - walking)
        down = down + (1 - walking) * settle - jumping * 0.35 * flight.clamp(min=0)
        ahead = rest_forward + walking * stride * forward + (sitting * once * 0.12 * torso[:, None])
        ahead = ahead + jumping * (0.5 if is_front else -0.5) * flight.clamp(min=0)
        down = torch.maximum(down, 0.3 * rest_down)
        knee = -1.0 if is_front else 1.0
        place_leg(pose, (f"{name}_upper", f"{name}_lower", f"{name}_foot"), points, ahead, down, knee, local_pitch,
                  foot_pitch=walking * 0.7 * up)  # fmt: skip
    _trunk_follows(act, frames, pose, phase, once, walking, looking + 0.4 * sitting, pitch)
    _travel(act, frames, pose, phase, walking, stride, duty, jumping)


def _jump(act: SeededDraw, frames: int, height: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Crouch, ballistic flight and body tilt [n, T] of one jump."""
    time = torch.arange(frames, device=act.device)[None] / 16
    start, air = act.between(0.2, 0.45)[:, None], act.between(0.35, 0.6)[:, None]
    crouch = smoothstep(time / start) * (1 - smoothstep((time - start + 0.06) / 0.16))
    landing = smoothstep((time - start - air) / 0.1) * (1 - smoothstep((time - start - air - 0.12) / 0.35))
    progress = ((time - start) / air).clamp(0, 1)
    peak = act.between(0.25, 0.6)[:, None] * height[:, None]
    flight = peak * 4 * progress * (1 - progress)
    tilt = act.between(0.1, 0.4)[:, None] * torch.sin(TAU * progress)
    return (0.3 * crouch + 0.22 * landing) * height[:, None], flight, tilt


def _trunk_follows(
    act: SeededDraw,
    frames: int,
    pose: CreaturePose,
    phase: Tensor,
    once: Tensor,
    walking: Tensor,
    looking: Tensor,
    pitch: Tensor,
) -> None:
    """Neck, head, ears and tail: nodding at the step frequency, looking about, and the tail's late wave."""
    nod = walking * act.between(0.02, 0.12)[:, None] * wave(2 * phase, 0.15)
    down = act.chance(0.6)
    graze = torch.where(down, act.between(0.5, 1.2), act.between(-0.6, -0.25))[:, None]
    look = act.sign()[:, None] * act.between(0.25, 0.9)[:, None]
    lift = 0.5 * graze * looking * once - 0.5 * pitch
    pose.turn("neck1", x=lift + nod, y=0.4 * look * looking * once)
    pose.turn("neck2", x=0.6 * lift - 0.4 * nod, y=0.4 * look * looking * once)
    pose.turn("head", x=-0.6 * lift - nod, y=0.5 * look * looking * once)
    wag = act.between(0.03, 0.35)[:, None] * (walking + looking).clamp(max=1.0)
    rate = torch.where(walking > 0, phase, 2 * phase)
    raise_tail = act.between(-0.5, 0.5)[:, None]
    for index in range(4):
        late = 0.12 * index
        pose.turn(f"tail{index}", x=0.3 * raise_tail * (1 - walking) * once + 0.3 * nod, y=wag * wave(rate, late))


def _travel(
    act: SeededDraw,
    frames: int,
    pose: CreaturePose,
    phase: Tensor,
    walking: Tensor,
    stride: Tensor,
    duty: Tensor,
    jumping: Tensor,
) -> None:
    """Forward motion and turning of the whole body: on the spot for most clips, planted steps for the others."""
    covered = (phase - phase[:, :1]) * stride / duty
    share = torch.where(act.chance(0.35), 0.0, act.between(0.2, 0.9))[:, None]
    far = covered[:, -1:].abs().clamp(min=1e-3)
    share = torch.minimum(share, 0.45 / far)
    bend = torch.where(act.chance(0.45), 0.0, act.between(-0.9, 0.9))[:, None]
    progress = covered / far
    turn = bend * progress * walking
    ahead = walking * share * covered
    pose.heading = pose.heading + turn
    half = turn / 2
    pose.move(x=ahead * half.sin(), z=ahead * half.cos())


def spider(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """Eight legs in two alternating sets of four, a raised abdomen and a low body that sways."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    body, belly = shape.between(0.05, 0.08), shape.between(0.07, 0.14)
    height, reach = shape.between(0.08, 0.2), shape.between(0.28, 0.42)
    leg = shape.between(0.013, 0.021)
    middle, front, rear = vec(0, height, 0), vec(0, height, body * 1.2), vec(0, height, -body * 1.2)
    rig.limb("rear", None, middle, rear, body, wide=body * 0.3)
    rig.limb("front", "rear", middle, front, body, wide=body * 0.3)
    rig.limb("head", "front", front + vec(0, 0, body * 0.5), front + vec(0, 0, body * 1.1), body * 0.6)
    back = rear + vec(0, belly * shape.between(0.0, 0.5), -belly * 0.9)
    rig.limb(
        "abdomen", "rear", back, back + vec(0, 0, -belly * shape.between(0.5, 1.2)), belly, belly * 0.7, joint=rear
    )
    arch, bend = shape.between(0.07, 0.2), shape.between(0.35, 0.5)
    angles = [0.95, 0.35, -0.35, -0.95]
    spread = shape.between(0.8, 1.15)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        for index, angle in enumerate(angles):
            out = vec(sign * (angle * spread).cos(), 0, (angle * spread).sin())
            hip = vec(0, height, body * (1.1 - 0.75 * index)) + out * vec(body, 0, body * 0.5)
            knee = hip + out * (reach * bend)[:, None] + vec(0, arch, 0)
            ankle = hip + out * (reach * 0.8)[:, None] + vec(0, arch * 0.2 - height * 0.35, 0)
            toe = hip + out * reach[:, None] - vec(0, height - leg, 0)
            parent = "front" if index < 2 else "rear"
            rig.limb(f"{side}{index}a", parent, hip, knee, leg * 1.3, leg * 1.1)
            rig.limb(f"{side}{index}b", f"{side}{index}a", knee, ankle, leg * 1.1, leg * 0.9)
            rig.limb(f"{side}{index}c", f"{side}{index}b", ankle, toe, leg * 0.9, leg * 0.65)

    pose = CreaturePose(rig, frames)
    phase, once = cycles(act, frames), gesture(act, frames)
    walking = act.chance(0.75)[:, None].float()
    rearing = (1 - walking) * act.between(0.2, 0.6)[:, None]
    swing, lift = act.between(0.25, 0.5)[:, None], act.between(0.25, 0.55)[:, None]
    duty = act.between(0.5, 0.6)[:, None]
    for side, sign in (("l", 1.0), ("r", -1.0)):
        for index, angle in enumerate(angles):
            late = (0.5 if (index + (side == "r")) % 2 else 0.0) + 0.04 * index
            forward, up = step_cycle(phase + late, duty)
            raised = rearing * once * (1.3 if index == 0 else 0.5 if index == 1 else 0.0)
            # Swinging forward is a turn about Y, lifting a turn about the leg's own sideways axis.
            out_x, out_z = sign * math.cos(angle), math.sin(angle)
            up = walking * lift * up + raised
            pose.turn(f"{side}{index}a", x=-up * out_z, y=-sign * walking * swing * forward * 2, z=up * out_x)
            pose.turn(f"{side}{index}b", x=0.7 * up * out_z, z=-0.7 * up * out_x)
    bob = walking * act.between(0.005, 0.02)[:, None] * wave(2 * phase)
    pose.turn("rear", x=-0.5 * rearing * once, y=walking * act.between(0.0, 0.06)[:, None] * wave(phase))
    pose.turn("abdomen", x=act.between(0.02, 0.15)[:, None] * wave(phase, 0.2) + 0.3 * rearing * once)
    pose.move(y=bob + 0.06 * rearing * once)
    stride = 2 * swing * reach[:, None]
    _travel(act, frames, pose, phase, walking, stride, duty, walking)
    return rig.build(shape.between(0.004, 0.007)), pose
