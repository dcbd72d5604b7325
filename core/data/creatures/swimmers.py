"""Fish and snakes, which move by a travelling wave, and birds."""

from __future__ import annotations

import torch

from core.data.creatures.motion import cycles, gesture, wave
from core.data.creatures.rig import CreaturePose, CreatureRig, RigBuilder
from core.data.creatures.seeds import SeededDraw


def fish(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """A laterally flat body with tail, dorsal, anal and pectoral fins; the wave grows towards the tail."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    count = 6
    length, tall, wide = shape.between(0.7, 0.85), shape.between(0.06, 0.2), shape.between(0.035, 0.075)
    fullest = shape.between(0.2, 0.45)

    def profile(at: float) -> torch.Tensor:
        """Share of the full cross-section [n] at a place between snout 0 and tail root 1."""
        ahead = (at / fullest).clamp(max=1)
        behind = ((at - fullest) / (1 - fullest)).clamp(min=0)
        return 0.45 + 0.55 * (ahead * (2 - ahead)) - 0.8 * behind**1.4

    along = length / count
    for index in range(count):
        start, end = vec(0, 0, length / 2 - along * index), vec(0, 0, length / 2 - along * (index + 1))
        now, then = profile(index / count), profile((index + 1) / count)
        thick = (wide * now).clamp(min=0.012)
        high = ((tall - wide) * now).clamp(min=0.004)
        parent = None if index == 0 else f"body{index - 1}"
        rig.limb(f"body{index}", parent, start, end, thick, thick * then / now, tall=high)
    root = vec(0, 0, -length / 2)
    fin, fork = shape.between(0.08, 0.2), shape.between(0.5, 1.3)
    last = f"body{count - 1}"
    for side, sign in (("up", 1.0), ("down", -1.0)):
        tip = root + vec(0, sign * fin * fork, -fin)
        rig.limb(f"tail_{side}", last, root + vec(0, 0, 0.02), tip, 0.012, 0.008, tall=fin * 0.16, joint=root)
    top = vec(0, tall * 0.8, length * shape.between(-0.1, 0.12))
    rig.limb("back", "body2", top, top + vec(0, shape.between(0.02, 0.1), -0.08), 0.01, 0.007, tall=0.05)
    low = vec(0, -tall * 0.6, -length * 0.15)
    rig.limb("belly", "body3", low, low + vec(0, -shape.between(0.02, 0.08), -0.06), 0.01, 0.007, tall=0.03)
    breast = shape.between(0.08, 0.2)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        start = vec(sign * wide * 0.8, -tall * 0.15, length * 0.18)
        end = start + vec(sign * breast * 0.8, -breast * 0.3, -breast * 0.6)
        rig.limb(f"fin_{side}", "body1", start, end, 0.009, 0.006, tall=breast * 0.2)

    pose = CreaturePose(rig, frames)
    phase, once = cycles(act, frames, 0.5, 2.0), gesture(act, frames)
    beat, waves = act.between(0.2, 0.5)[:, None], act.between(0.5, 1.0)[:, None]
    turning = torch.where(act.chance(0.4), act.between(-0.9, 0.9), 0.0)[:, None]
    for index in range(count):
        share = 0.25 + 0.75 * (index / (count - 1)) ** 1.2
        turn = beat * share * wave(phase, waves * index / count) + turning * once * (0.12 if index else -0.3)
        pose.turn(f"body{index}", y=turn)
    for side in ("up", "down"):
        pose.turn(f"tail_{side}", y=1.3 * beat * wave(phase, waves * 1.05))
    paddle = act.between(0.1, 0.6)[:, None]
    for side, sign in (("l", 1.0), ("r", -1.0)):
        pose.turn(f"fin_{side}", z=sign * paddle * wave(phase, 0.2), y=sign * 0.4 * paddle * wave(phase))
    pose.heading = pose.heading + turning * once
    going = torch.where(act.chance(0.5), 0.0, act.between(0.03, 0.25))[:, None]
    advance = going * (phase - phase[:, :1])
    rise = torch.where(act.chance(0.7), 0.0, act.between(-0.4, 0.4))[:, None] * once
    pose.turn("body0", x=-rise)
    pose.move(y=rise * 0.3, z=advance.clamp(max=0.4))
    return rig.build(shape.between(0.004, 0.007)), pose


def snake(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """A long chain that slithers: bends travel down the body. Some snakes raise the head to strike."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    count = 14
    length, thick = shape.between(1.1, 1.5), shape.between(0.022, 0.05)
    step, tip = length / count, shape.between(0.15, 0.5)
    middle = 6  # the root sits mid-body, so that head and tail swing alike
    order = (
        [(middle, None)] + [(i, i - 1) for i in range(middle + 1, count)] + [(i, i + 1) for i in range(middle)][::-1]
    )
    for index, parent in order:
        thin = thick * (1 - (1 - tip) * max(0.0, (index - 5) / (count - 5)) ** 1.5)
        thin = thin * (0.75 if index == 0 else 1.0)
        start, end = vec(0, thick, length / 2 - step * index), vec(0, thick, length / 2 - step * (index + 1))
        joint = end if index < middle else start
        rig.limb(
            f"body{index}", None if parent is None else f"body{parent}", start, end, thin, thin * 0.97, joint=joint
        )
    nose = vec(0, thick, length / 2)
    head = shape.between(1.15, 1.7)
    rig.limb("head", "body0", nose, nose + vec(0, 0, 0.05), thick * head, thick * head * 0.6, wide=thick * 0.3)

    pose = CreaturePose(rig, frames)
    phase, once = cycles(act, frames, 0.4, 1.4), gesture(act, frames)
    bend, waves = act.between(0.22, 0.5)[:, None], act.between(0.9, 1.9)[:, None]
    curl = torch.where(act.chance(0.3), act.between(-0.12, 0.12), 0.0)[:, None]
    striking = act.chance(0.25)[:, None].float()
    raised = striking * once
    grow = torch.where(act.chance(0.25)[:, None], 0.35 + 0.65 * once, 1.0)
    for index in range(count):
        sign = -1.0 if index < middle else 1.0  # joints ahead of the root turn the other way along the chain
        turn = bend * grow * wave(phase, waves * index / count) * (1 - 0.6 * raised) + curl
        if index == middle:
            pose.turn(f"body{index}", y=0.5 * turn)
            continue
        lift = raised * (-0.32 if 2 <= index < middle else 0.4 if index < 2 else 0.0)
        pose.turn(f"body{index}", x=lift, y=sign * turn)
    pose.turn("head", x=0.35 * raised, y=-0.6 * bend * wave(phase))
    going = torch.where(act.chance(0.4), 0.0, act.between(0.05, 0.3))[:, None]
    pose.heading = pose.heading + torch.where(act.chance(0.6), 0.0, act.between(-0.4, 0.4))[:, None] * once
    pose.move(z=(going * (phase - phase[:, :1])).clamp(max=0.35))
    return rig.build(shape.between(0.004, 0.007)), pose


def bird(shape: SeededDraw, act: SeededDraw, frames: int) -> tuple[CreatureRig, CreaturePose]:
    """Birds that flap (the wrist lags behind the shoulder), glide and bank, or hop with folded wings."""
    rig = RigBuilder(shape.count, shape.device)
    vec = rig.vector
    body, thick = shape.between(0.2, 0.32), shape.between(0.055, 0.1)
    front, rear = vec(0, 0, body / 2), vec(0, -0.01, -body / 2)
    rig.limb("body", None, front, rear, thick, thick * 0.7, joint=vec(0, 0, 0))
    neck = shape.log_between(0.04, 0.2)
    tilt = shape.between(0.1, 1.2)
    top = front + torch.stack([0 * neck, neck * tilt.sin(), neck * tilt.cos()], -1)
    rig.limb("neck", "body", front, top, thick * 0.6, thick * 0.45)
    skull = thick * shape.between(0.5, 0.75)
    face = rig.limb("head", "neck", top, top + vec(0, 0.01, 0.03), skull)
    beak = shape.between(0.03, 0.12)
    rig.limb(
        "beak", "head", face + vec(0, 0, skull * 0.6), face + vec(0, -0.015, skull * 0.8 + beak), skull * 0.35, 0.007
    )
    fan = shape.between(0.08, 0.24)
    rig.limb("tail", "body", rear, rear + vec(0, 0, -fan), 0.014, 0.01, wide=fan * shape.between(0.12, 0.35))
    span, chord = shape.between(0.28, 0.46), shape.between(0.05, 0.11)
    leg, drumstick = shape.between(0.05, 0.16), thick * 0.3
    shares = ((0.3, "arm"), (0.35, "fore"), (0.35, "tip"))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        at, above = vec(sign * thick * 0.6, thick * 0.4, body * 0.15), "body"
        width = chord
        for share, name in shares:
            sweep = -0.05 * span if name == "tip" else 0.02 * span
            to = at + vec(sign * span * share, 0, sweep)
            slim = width * (0.55 if name == "tip" else 0.9)
            at = rig.limb(f"{name}_{side}", above, at, to, 0.014, 0.014 * (0.55 if name == "tip" else 0.9), wide=width)
            above, width = f"{name}_{side}", slim
        hip = vec(sign * thick * 0.5, -thick * 0.6, -body * 0.1)
        knee = rig.limb(f"thigh_{side}", "body", hip, hip + vec(0, -leg * 0.5, leg * 0.25), drumstick, drumstick * 0.6)
        heel = rig.limb(f"shank_{side}", f"thigh_{side}", knee, knee + vec(0, -leg * 0.7, -leg * 0.3), 0.011, 0.009)
        rig.limb(f"foot_{side}", f"shank_{side}", heel, heel + vec(0, -0.004, 0.045), 0.009, 0.007, wide=0.008)

    pose = CreaturePose(rig, frames)
    mode = act.unit()[:, None]
    flying, gliding, hopping = (mode < 0.6).float(), ((mode >= 0.6) & (mode < 0.75)).float(), (mode >= 0.75).float()
    phase, once = cycles(act, frames, 0.5, 2.0), gesture(act, frames)
    beat, late = act.between(0.35, 0.8)[:, None], act.between(0.1, 0.2)[:, None]
    resting, pull = act.between(-0.1, 0.25)[:, None], act.between(0.15, 0.5)[:, None]
    bank = (gliding + 0.4 * flying) * torch.where(act.chance(0.5), act.between(-0.7, 0.7), 0.0)[:, None] * once
    flap = flying + 0.06 * gliding
    tuck = (1 - hopping) * act.between(0.6, 1.3)[:, None]
    hop, crouch = hopping * torch.relu(wave(phase)), hopping * 0.5 * torch.relu(-wave(phase))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        folded = hopping * 1.15
        # The upstroke folds the wing: fore and tip bend while the arm rises.
        rising = flap * pull * (0.5 + 0.5 * wave(phase, 0.3))
        pose.turn(f"arm_{side}", z=sign * (flap * beat * wave(phase) + resting * (1 - hopping) - 0.5 * hopping),
                  y=sign * folded * 1.1 - sign * 0.2 * flap * wave(phase, 0.25))  # fmt: skip
        pose.turn(f"fore_{side}", z=sign * (0.5 * flap * beat * wave(phase, late) - rising), y=-sign * folded * 0.2)
        pose.turn(
            f"tip_{side}", z=sign * (0.5 * flap * beat * wave(phase, 1.8 * late) - rising), y=sign * folded * 0.45
        )
        pose.turn(f"thigh_{side}", x=0.6 * tuck - crouch - 0.3 * hop)
        pose.turn(f"shank_{side}", x=0.3 * tuck + 2 * crouch)
        pose.turn(f"foot_{side}", x=0.5 * tuck - crouch + 0.3 * hop)
    peck = hopping * act.between(0.0, 0.6)[:, None] * once
    pitch = act.between(-0.5, 0.1)[:, None] * hopping + peck - 0.05 * flap * wave(phase, 0.25)
    pose.turn("body", x=pitch, z=-bank)
    pose.turn("neck", x=-0.5 * pitch + peck)
    pose.turn("head", x=-0.4 * pitch, y=act.between(-0.6, 0.6)[:, None] * once * (0.3 + 0.7 * hopping))
    pose.turn("tail", x=0.12 * flap * wave(phase, 0.5) + 0.3 * hopping * crouch)
    bob = -0.1 * beat * flying * wave(phase, 0.2) + hop * act.between(0.1, 0.35)[:, None] * (leg[:, None] + 0.1)
    pose.move(y=bob - 0.35 * crouch * leg[:, None])
    pose.heading = pose.heading + bank * 0.8
    going = torch.where(act.chance(0.5), 0.0, act.between(0.03, 0.25))[:, None]
    pose.move(
        z=(going * (phase - phase[:, :1])).clamp(max=0.35), y=0.15 * act.between(-1.0, 1.0)[:, None] * gliding * once
    )
    return rig.build(shape.between(0.005, 0.009)), pose
