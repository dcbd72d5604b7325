"""A two-part creature for the bank: a rod along x whose right half swings about its middle."""

import numpy as np

from core.bank.shape import BankClip, BankShape


def swinging_rod(name: str = "rod", degrees: float = 60.0, frames: int = 13, behaviour: str = "walk") -> BankShape:
    along = np.linspace(-0.5, 0.5, 21)
    ring = np.array([[0, 0.05, 0], [0, -0.025, 0.043], [0, -0.025, -0.043]])
    nodes = np.concatenate([np.stack([along, 0 * along, 0 * along], 1) + offset for offset in ring]).astype(np.float32)
    normals = np.repeat(ring / 0.05, len(along), axis=0).astype(np.float32)
    right = nodes[:, 0] > 0
    index = np.zeros((len(nodes), 4), np.int16)
    index[:, 0] = right
    weight = np.zeros((len(nodes), 4), np.float32)
    weight[:, 0] = 1
    angle = np.deg2rad(degrees) * np.sin(np.linspace(0, np.pi / 2, frames)) / 2
    quaternions = np.zeros((frames, 2, 4), np.float32)
    quaternions[:, 0, 0] = 1
    quaternions[:, 1, 0], quaternions[:, 1, 3] = np.cos(angle), np.sin(angle)
    centres = np.stack([nodes[~right].mean(0), nodes[right].mean(0)])
    places = np.repeat(centres[None], frames, 0)
    reach = np.linalg.norm(centres[1])
    places[:, 1] = np.stack([reach * np.cos(2 * angle), reach * np.sin(2 * angle), 0 * angle], 1)
    descriptors = np.zeros((2, len(nodes), 4), np.float32)
    descriptors[:, :, 0], descriptors[:, :, 1] = np.where(right, 0.6, 1.0), np.where(right, 0.8, 0.0)
    return BankShape(
        name, "objects", "a test", "CC0 1.0", nodes, normals, ("left", "right"), index, weight,
        (BankClip("Rig|Swing_Up", behaviour, quaternions, places.astype(np.float32)),),
        pack="rods", descriptors=descriptors,
    )  # fmt: skip
