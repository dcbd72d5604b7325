"""Builds the shipped bank of bodies: `python -m core.experiments.body_bank RIGS --out FILE`.

It holds surfaces of rigs in several of their poses, and of procedural creatures with identities of the training. Of
rigs with captured motion it holds only the default pose, since that motion may not be passed on.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from core.bank.bank_file import write_bank
from core.bank.bodies import POSES, body_of
from core.bank.credits import LICENCE, Credit, credit_of
from core.bank.read_rig import read_rig_body
from core.bank.read_sequence import MeshMotion, body_of_motion
from core.bank.shape import BankShape
from core.data.procedural import ProceduralSource
from core.data.rig_files import rig_files
from core.errors import M2VError

VERTICES = 600
CAPTURED = "bodies"  # the folder of rigs whose motion was captured
CAPTURED_CREDIT = Credit("MakeHuman community", LICENCE, "MakeHuman")
OWN_CREDIT = Credit("m2v studio", LICENCE, "procedural")
# How many of each kind; kinds that vary more have more.
PROCEDURAL = {
    "quadruped": 8, "biped": 8, "bird": 5, "fish": 3, "snake": 2, "spider": 4, "laptop": 1, "door": 1, "stapler": 1,
    "eyeglasses": 1, "washing_machine": 1, "refrigerator": 1, "oven": 1,
}  # fmt: skip
FRAMES, RESOLUTION = 48, 96  # of a procedural clip


def rig_body(path: Path) -> BankShape | str:
    """The body of one rig, or the sentence that says why there is none."""
    captured = path.parent.name == CAPTURED
    try:
        shape = read_rig_body(path, CAPTURED_CREDIT if captured else credit_of(path.stem), count=VERTICES)
    except M2VError as error:
        return str(error)
    return body_of(shape, 1 if captured else POSES)


def procedural_body(kind: str, number: int) -> BankShape | str:
    """The body of one procedural creature of a training identity, or the sentence that says why there is none."""
    seed = 7 + 31 * number
    try:
        made = ProceduralSource().mesh_sequence(seed, seed, FRAMES, RESOLUTION, kind)
        motion = MeshMotion(kind, made.vertices, made.fps)
        shape = body_of_motion(f"{kind}-{number}", motion, made.faces, OWN_CREDIT, "procedural", VERTICES)
    except M2VError as error:
        return str(error)
    return body_of(shape)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rigs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    calls = [partial(procedural_body, kind, number) for kind, count in PROCEDURAL.items() for number in range(count)]
    calls += [partial(rig_body, path) for path in rig_files(options.rigs)]
    bodies = []
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        for result in [pool.submit(call) for call in calls]:
            body = result.result()
            if isinstance(body, str):
                print(body, file=sys.stderr)
            else:
                bodies.append(replace(body, source=body.source or body.name))
                print(body.name, len(body.nodes), len(body.clips[0].places), flush=True)
    write_bank(options.out, bodies)
    print(f"{options.out}: {len(bodies)} bodies, {options.out.stat().st_size / 1e6:.1f} MB.")


if __name__ == "__main__":
    main()
