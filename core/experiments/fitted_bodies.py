"""Fits bodies of the bank to simulated scans, for training: `python -m core.experiments.fitted_bodies --out FOLDER`.

The shape denoiser learns what a body that was bent to a scan says of the shape behind it, and what not
(`core.data.fitted_scans` reads the files). Shapes are drawn from the training split. Their own rig and its pack are
left out of the bank, and so are all identities and authors that are kept for evaluation.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.cameras import random_cameras
from core.data.clips import ClipBatch
from core.data.fitted_scans import BODY_POINTS, CLOUD, FILE, SCAN_POINTS, StoredKind, write_scans
from core.data.observations import depth_scan, half_body, noise_levels, quantised, tracked_points
from core.data.procedural import ProceduralSource
from core.data.rig_bank import RigSource
from core.data.rig_files import UNSEEN_AUTHORS, UNSEEN_IDENTITIES
from core.data.rig_prepare import prepared_bank
from core.errors import M2VError
from core.pipelines.body_fit import fit_bodies
from core.pipelines.body_search import BodyPoses, find_bodies
from core.pipelines.free_space import RAYS, FreeSpace
from core.pipelines.seen_side import Extent

SHARES = {StoredKind.DEPTH: 0.4, StoredKind.HALF: 0.3, StoredKind.TRACKED: 0.2, StoredKind.VOXELS: 0.1}
RIGS = 0.6  # of the shapes; the others are procedural
DENSE = 4096  # surface points from which a sensor sees some
QUERIES = 4096  # places with known occupancy
TRIED = 12  # bodies bent to a scan, fewer than where only the best counts
FEW = (64, 300)  # tracked points of a whole shape, for which a body is asked
KEPT = 4  # bodies of one scan, at the most
MOST_MISFIT = 0.04  # of a body that is kept
IN_A_FILE = 25  # scans


def seen_of(clip: ClipBatch, kind: StoredKind, generator: torch.Generator) -> tuple[Tensor, FreeSpace | None, Extent]:
    """Points [N, 3] that a sensor sees of a clip of one frame, the empty space it saw, and what the points show."""
    sigma = noise_levels(1, generator)
    if kind is StoredKind.DEPTH:
        cameras = random_cameras(1, 1, generator)
        scan = depth_scan(clip.points, clip.normals, DENSE, generator, sigma, cameras=cameras)
        seen = scan.points[0, 0][scan.present[0, 0]]
        free = FreeSpace(seen.numpy(), cameras.position[0, 0].numpy()) if len(seen) > RAYS else None
        return seen, free, Extent.SIDE
    if kind is StoredKind.HALF:
        scan = half_body(clip.points, 512, sigma, generator)
        return scan.points[0, 0][scan.present[0, 0]], None, Extent.CUT
    if kind is StoredKind.VOXELS:
        return torch.unique(quantised(clip.points[0, 0]), dim=0), None, Extent.WHOLE
    count = int(FEW[0] * (FEW[1] / FEW[0]) ** float(torch.rand((), generator=generator)))
    return tracked_points(clip.points, count, sigma, generator).points[0, 0], None, Extent.WHOLE


def fitted_scans(
    rigs: Path | None, bodies: BodyPoses, count: int, seed: int, held_out: bool = False
) -> Iterator[dict[str, NDArray]]:
    """One scan after the other, with `bodies` that were bent to it; those that none fits are left out.

    Shapes are procedural where there are no `rigs`; where `held_out`, of unseen identity, and rigs in unseen motion.
    """
    rig_source = None if rigs is None else RigSource(prepared_bank(rigs))
    procedural, unseen = ProceduralSource(), {*UNSEEN_IDENTITIES, *UNSEEN_AUTHORS}
    for number in range(count):
        generator = torch.Generator().manual_seed(1_000_003 * seed + number)
        name = ""
        if rig_source is not None and float(torch.rand((), generator=generator)) < RIGS:
            clip = rig_source.sample(1, 1, DENSE, generator, "unseen_motion" if held_out else "train", QUERIES)
            assert clip.rig is not None
            name = Path(rig_source.rig_names[int(clip.rig[0])]).stem
        else:
            clip = procedural.sample(1, 1, DENSE, generator, "unseen_identity" if held_out else "train", QUERIES)
        assert clip.occupancy_points is not None and clip.occupancy is not None
        shares = torch.tensor(list(SHARES.values()))
        kind = list(SHARES)[int(torch.multinomial(shares, 1, generator=generator))]
        seen, free, extent = seen_of(clip, kind, generator)
        others = bodies.without(unseen | ({name, bodies.packs.get(name, name)} if name else set()))
        cloud = seen.numpy().astype(np.float64)
        fits = fit_bodies(find_bodies(others, cloud, free, TRIED, extent=extent), cloud, free, extent=extent)
        fits = [body for body in fits[:KEPT] if body.misfit < MOST_MISFIT]
        if not fits:
            continue
        some = torch.randperm(DENSE, generator=generator)[:CLOUD]
        few = torch.randperm(len(seen), generator=generator)[:SCAN_POINTS]
        observed = np.zeros((SCAN_POINTS, 3), np.float32)
        observed[: len(few)] = seen[few].numpy()
        surfaces = np.zeros((KEPT, BODY_POINTS, 6), np.float32)
        misfit = np.full(KEPT, np.inf, np.float32)
        for row, body in enumerate(fits):
            surfaces[row], misfit[row] = np.concatenate(body.sampled(BODY_POINTS), axis=1), body.misfit
        yield {
            "surface": torch.cat([clip.points[0, 0], clip.normals[0]], dim=1)[some].numpy(),
            "places": clip.occupancy_points[0].numpy(),
            "inside": clip.occupancy[0].numpy() > 0.5,
            "seen": observed,
            "count": np.array(len(few)),
            "kind": np.array(int(kind)),
            "bodies": surfaces,
            "misfit": misfit,
        }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rigs", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder, which may hold those of other seeds")
    parser.add_argument("--scans", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true", help="shapes for the checks while training")
    options = parser.parse_args()
    torch.set_num_threads(1)
    name = f"{FILE}-{'unseen_identity' if options.held_out else 'train'}-{options.seed}"
    options.out.mkdir(parents=True, exist_ok=True)
    written = 0
    try:
        scans = fitted_scans(options.rigs, BodyPoses.shipped(), options.scans, options.seed, options.held_out)
        for number, some in enumerate(iter(lambda: list(islice(scans, IN_A_FILE)), [])):
            write_scans(options.out / f"{name}-{number:03d}.safetensors", some)
            written += len(some)
            print(written, "scans", flush=True)
    except M2VError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
