"""The rows of `m2v evaluate ablations`: a preset with a few fields changed, and the control it is compared with.

A row that changes only the motion denoiser uses the shipped autoencoders. A row that changes an autoencoder trains that
stage too, on as many clips; so does its control, so that how long an autoencoder was trained never counts as an effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.pipelines.request import Quality

SHAPE, MOTION, DENOISER = "shape-autoencoder", "motion-autoencoder", "motion-diffusion"


@dataclass(frozen=True)
class Row:
    """One row. `changes` are overrides as `m2v train --set` takes them; a sampling row trains nothing."""

    name: str
    title: str
    changes: tuple[str, ...] = ()
    control: str = "preset"  # the row it is compared with; its own name for a control
    stages: tuple[str, ...] = (DENOISER,)  # trained, in order; none: only sampled, with the shipped weights
    quality: Quality = "normal"
    steps: int | None = None
    data: Literal["any", "both"] = "any"  # both: only where training uses rigs and procedural creatures
    note: str = field(default="", compare=False)


# Training rows learn only handle tasks: these are measured, and the budget is small.
HANDLES_ONLY = (
    "tasks.handles=1.0",
    "tasks.tracked=0",
    "tasks.scans=0",
    "tasks.voxels=0",
    "conditions.scan_channels=0",
    "conditions.voxels=false",
)
# Without the warm start, what builds on it goes too: white noise, no attention bias, no output directions.
NO_WARM_START = (
    "diffusion.warm_start=false",
    "diffusion.noise=white",
    "motion_denoiser.geometric_attention=false",
    "motion_denoiser.output_directions=false",
    "motion_denoiser.borrowed=false",
)
_FRESH = (MOTION, DENOISER)
_FRESH_CONTROL = "fresh_motion"

TRAINED = (
    Row("preset", "the preset as it is"),
    Row("fresh_motion", "the same, with a motion autoencoder of this budget", stages=_FRESH, control="fresh_motion"),
    Row("no_diffusion", "no diffusion: one call on pure noise", ("diffusion.posterior_mean_fraction=1.0",),
        quality="draft", note="Trained on pure noise only, so it has a posterior mean and no samples."),
    Row("channels_8", "C_d = 8", ("motion.channels=8",), _FRESH_CONTROL, _FRESH,
        note="Three of the channels are the anchor's displacement; `small` has no others."),
    Row("channels_16", "C_d = 16", ("motion.channels=16",), _FRESH_CONTROL, _FRESH),
    Row("channels_32", "C_d = 32", ("motion.channels=32",), _FRESH_CONTROL, _FRESH),
    Row("no_time_embedding", "no time embedding", ("motion_denoiser.time_embedding=none",),
        note="Frames inside one token are still told apart."),
    Row("no_anchor_embedding", "no anchor embedding", ("motion_denoiser.anchor_embedding=false",)),
    Row("absolute_flow", "absolute flow head", ("motion.flow_head=absolute", "motion.channels=16"), "channels_16",
        _FRESH, note="This decoder knows where an anchor is from learned channels only, hence 16."),
    Row("no_warm_start", "no geometric warm start", NO_WARM_START),
    Row("no_borrowed", "no motion borrowed from the bank", ("motion_denoiser.borrowed=false",)),
    Row("no_explicit_displacement", "no warm start and no explicit displacement",
        (*NO_WARM_START, "motion.explicit_displacement=false", "motion.flow_head=absolute", "motion.channels=16"),
        "no_warm_start", _FRESH,
        note="The warm start and the affine head both need explicit displacements, so they go too; its motion "
        "autoencoder has seen this budget only."),
    Row("frames_1", "1 frame per token", ("motion_denoiser.frames_per_token=1",)),
    Row("frames_2", "2 frames per token", ("motion_denoiser.frames_per_token=2",)),
    Row("frames_8", "8 frames per token", ("motion_denoiser.frames_per_token=8",)),
    Row("anchors_32", "32 anchors", ("motion.latents=32",), _FRESH_CONTROL, _FRESH),
    Row("anchors_64", "64 anchors", ("motion.latents=64",), _FRESH_CONTROL, _FRESH),
    Row("anchors_128", "128 anchors", ("motion.latents=128",), _FRESH_CONTROL, _FRESH),
    Row("procedural_only", "trained on procedural creatures only", ("data.rigs=''", "data.procedural=1.0"),
        data="both"),
    Row("rigs_only", "trained on rigs only", ("data.procedural=0",), data="both"),
)  # fmt: skip
SAMPLED = (
    *(Row(f"steps_{steps}", f"{steps} steps", control="steps_8", stages=(), steps=steps) for steps in (4, 8, 18)),
    Row("best_18", "18 steps of Heun (35 calls)", control="steps_8", stages=(), quality="best", steps=18),
)  # fmt: skip
ROWS = {row.name: row for row in (*TRAINED, *SAMPLED)}
NOT_BUILT = {
    "handle guidance through the decoder while sampling": "tried and left out: after each call, a step or half a step "
    "down the gradient of the handles' error through the motion decoder changed errors by factors of 0.99 to 1.06 "
    "(8 procedural clips of unseen identities, 4 seeds; 3 tracks got worse by 1 to 3%, nothing better by more than 1%) "
    "and took 4.3 times as long; the residual solve after sampling meets the handles exactly"
}
