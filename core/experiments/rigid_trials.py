"""Short trials of two other ways to keep motion on the rigid surface.

    python -m core.experiments.rigid_trials RIGS --out assets/results/rigid-trials.json

(a) The denoiser's estimate is projected to the rigid surface in every step of the sampler, not only the final sample.
(b) Latents carry the surface's rotations, which are otherwise estimated from displacements. The trial measures the most
that this could gain: how much better true motions are decoded with true rotations. Clips are of rigs by authors not
held out for evaluation; their own packs are left out of the bank.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.rig_files import UNSEEN_AUTHORS, clip_author, rig_files
from core.diffusion.edm import Denoiser, precondition
from core.errors import M2VError
from core.evaluation import prior
from core.evaluation.evaluation_clips import EvaluationClip, load
from core.evaluation.fair_bank import without_own_pack
from core.evaluation.models import describe
from core.evaluation.reporting import machine, page, rows_table, write_report
from core.experiments.fit_choice import node_tracks
from core.geometry.rigid import RigidSurface, polar_rotation
from core.models.warm_start import graph_weights
from core.pipelines import animate, motion_sampling
from core.pipelines.animate import Animator
from core.pipelines.moving_body import MovingBody, as_columns, from_columns

ABOUT = (
    "Short trials of two methods that do not ship, with the measures of the section before. (a) The denoiser's "
    "estimate is projected to the rigid surface in every step of the sampler; as shipped, only the final sample is. "
    "(b) Latents that carry rotations: the error of decoding true motions of the nodes, over the motion, with "
    "rotations estimated from the nodes' positions as shipped, and with true ones, fitted to the vertices that each "
    "node carries. The difference is the most that rotations in the latents could gain. There is no energy distance, "
    "since each rig has one clip."
)
HOLD = 0.1  # of the mean degree: pull of the estimate on its projection
STEPS = 3
ROWS = ("borrowing and denoiser", "denoiser alone")
PROJECTED = "{}, projected in every step"
LEAST_VERTICES = 4  # of a node, for a rotation to be fitted to them


@contextmanager
def projected_estimates(animator: Animator) -> Iterator[None]:
    """Within the block every denoiser call's estimate is projected; for models whose latents are displacements."""
    known: dict[str, Any] = {}

    def prepared(diffusion: Any, config: Any, latents: Tensor, nodes: Tensor, *rest: Any, **named: Any) -> Any:
        condition = motion_sampling.prepare_motion(diffusion, config, latents, nodes, *rest, **named)
        anchors = nodes[:, : config.motion.latents]
        every = torch.ones(anchors.shape[:2], dtype=torch.bool)
        known.update(anchors=anchors, warm=condition.warm)
        known["surface"] = RigidSurface.of(anchors, graph_weights(anchors, every, None), HOLD)
        return condition

    def preconditioned(network: Any, config: Any) -> Denoiser:
        denoise, diffusion = precondition(network, config), animator.motion_diffusion

        def project(x: Tensor, sigma: Tensor) -> Tensor:
            estimate = denoise(x, sigma)
            warm = known["warm"].expand(len(estimate))
            places = diffusion.unwhiten(estimate, warm) + known["anchors"][:, None]
            columns = as_columns(places)
            moved = from_columns(known["surface"].settle(columns, columns, steps=STEPS)[0], *places.shape[:2])
            return diffusion.whiten(moved - known["anchors"][:, None], warm)

        return project

    # A trial only: what ships has no switch for it.
    with (
        patch.object(motion_sampling, "precondition", preconditioned),
        patch.object(animate, "prepare_motion", prepared),
    ):
        yield


def decoding_errors(body: MovingBody, clip: EvaluationClip) -> tuple[float, float]:
    """Error of a true motion decoded from its nodes over its size: rotations found from the nodes, and true ones."""
    nodes = torch.from_numpy(node_tracks(body, clip))
    found = body.rotations(nodes[None])[0]
    true, by_node = found.clone(), body.binding.tocsc()
    for node in range(len(body.nodes)):
        column = by_node[:, node]
        if len(column.indices) >= LEAST_VERTICES:
            true[:, node] = _fitted_rotation(clip.vertices[:, column.indices], column.data / column.data.sum())
    size = np.linalg.norm(clip.vertices[1:] - clip.vertices[:1], axis=-1).mean()
    off = [np.linalg.norm(body.carry(nodes, turns) - clip.vertices, axis=-1)[1:].mean() for turns in (found, true)]
    return float(off[0] / size), float(off[1] / size)


def _fitted_rotation(vertices: NDArray[np.floating], weights: NDArray[np.floating]) -> Tensor:
    """Rotations [T, 3, 3] of vertices [T, n, 3] against frame 0."""
    away = vertices - np.einsum("n,tna->ta", weights, vertices)[:, None]
    return polar_rotation(torch.from_numpy(np.einsum("n,tna,nb->tab", weights, away, away[0])).float())


def trial_rows(animator: Animator, clip: EvaluationClip, task: prior.PriorTask, seeds: int) -> dict[str, NDArray]:
    """{row: samples [S, T, V, 3]}. With one handle the program leaves the denoiser out, so only "alone" rows exist."""
    tracks = prior.tracks_of(clip, *task.keys(clip))
    result = {}
    for row in ROWS if task.full else ROWS[1:]:
        result[row] = prior.samples_of(animator, clip, tracks, seeds, prior.SHARES[row])
        with projected_estimates(animator):
            result[PROJECTED.format(row)] = prior.samples_of(animator, clip, tracks, seeds, prior.SHARES[row])
    return result


def run_trials(animator: Animator, rigs: Path, out: Path, every: int, seeds: int) -> None:
    """Measure both trials on one clip of every `every`-th rig and write the report."""
    authors = sorted({clip_author(path.stem) for path in rig_files(rigs)} - set(UNSEEN_AUTHORS))
    figures: list[dict[str, Any]] = []
    decoded: list[tuple[float, float]] = []
    for name in prior.prior_clips(rigs, authors, 1)[::every]:
        clip = load(name, prior.FRAMES)
        if clip is None:
            continue
        with without_own_pack(animator, name):
            decoded.append(decoding_errors(animator.body_of(clip.mesh), clip))
            for task in prior.TASKS:
                for row, samples in trial_rows(animator, clip, task, seeds).items():
                    figures.append({"task": task.name, "row": row, **prior.measure(samples, clip)})
        print(f"{len(decoded)} clips, last {name.key}", flush=True)
    pairs = dict.fromkeys((figure["task"], figure["row"]) for figure in figures)
    summary = []
    for task_name, row in pairs:
        mine = [f for f in figures if (f["task"], f["row"]) == (task_name, row)]
        summary.append({"task": task_name, "row": row, "clips": len(mine), **prior.summarise(mine)})
    means = np.exp(np.log(np.maximum(decoded, 1e-6)).mean(axis=0))
    report = {
        "protocol": "rigid-trials", "settings": {"seeds": seeds, "frames": prior.FRAMES},
        "model": describe(animator, animator.preset), "machine": machine(), "summary": summary,
        "decoding": {"clips": len(decoded), "found": float(means[0]), "true": float(means[1])},
    }  # fmt: skip
    write_report(out, report, page("Trials of the rigid surface", ABOUT, *trial_tables(report)))


def trial_tables(report: Mapping[str, Any]) -> list[str]:
    """The tables of the report."""
    decoding = report["decoding"]
    head = [f"Decoding true motions, {decoding['clips']} clips", "error over the motion ↓"]
    rows = [["rotations estimated from the nodes, as shipped", f"{decoding['found']:.4f}"]]
    rows.append(["true rotations", f"{decoding['true']:.4f}"])
    return [*prior.prior_tables(report), rows_table(head, rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rigs", type=Path)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--every", type=int, default=4, help="rigs apart")
    parser.add_argument("--seeds", type=int, default=8)
    options = parser.parse_args()
    try:
        run_trials(Animator.load("small"), options.rigs, options.out, max(options.every, 1), options.seeds)
    except M2VError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
