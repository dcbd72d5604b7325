"""Inputs and results of the pipelines: plain values without torch, for command line, editor and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.bank.behaviours import BEHAVIOURS
from core.errors import M2VError
from core.sequence import MeshSequence, Normalization

Quality = Literal["draft", "normal", "best"]
QUALITIES: tuple[Quality, ...] = ("draft", "normal", "best")
MAX_SEEDS = 64
MUCH_STRETCH = 0.05  # edges change less, on average, in 19 of 20 animations by artists (173 clips of 50 rigs)


@dataclass(frozen=True)
class SamplingOptions:
    """How to sample. A `draft` is the posterior mean, from one denoiser call, the same for every seed."""

    seeds: int = 4
    seed: int = 0  # the first seed; the others follow it
    quality: Quality = "normal"
    steps: int | None = None  # sampler steps, instead of the quality's
    behaviour: str = ""  # one of `core.bank.behaviours.BEHAVIOURS`; empty: any
    loop: bool = False  # the last frame flows into the first
    contacts: bool = True  # feet on the ground stay where they are
    without: tuple[str, ...] = ()  # packs, models, clips ("Horse/Gallop") and bodies not to borrow from

    def validate(self) -> None:
        """Raises M2VError with what is wrong and what is possible."""
        if not 1 <= self.seeds <= MAX_SEEDS:
            raise M2VError(f"{self.seeds} seeds is out of range; ask for 1 to {MAX_SEEDS}.")
        if self.quality not in QUALITIES:
            raise M2VError(f"Unknown quality {self.quality!r}; choose {', '.join(QUALITIES)}.")
        if self.steps is not None and not 1 <= self.steps <= 1000:
            raise M2VError(f"{self.steps} sampler steps is out of range; ask for 1 to 1000.")
        if self.behaviour and self.behaviour not in BEHAVIOURS:
            raise M2VError(f"Unknown behaviour {self.behaviour!r}; choose {', '.join(BEHAVIOURS)}.")


@dataclass(frozen=True, eq=False)
class Progress:
    """One report of a running pipeline. `preview` [T, V, 3] shows the first seed so far, in source units.

    Its faces are those of the source mesh, or in a reconstruction `preview_faces` [F, 3]. While bodies are fitted to
    scans, it is the best one so far, named `body`, in frame 0 only.
    """

    done: int
    total: int
    message: str
    preview: NDArray[np.float32] | None = None
    preview_faces: NDArray[np.int32] | None = None
    body: str = ""


# Use of borrowed motions for a rig: none, only to find bones, or as further actions.
Windows = Literal["none", "bones", "actions"]

# Called between denoiser calls, on the pipeline's own thread; raising core.errors.Cancelled stops cleanly.
OnStep = Callable[[Progress], None]


def phase_reporter(on_step: OnStep | None) -> Callable[[str], None]:
    """A function that reports the phase that begins, for work with an unknown number of steps."""

    def say(message: str) -> None:
        if on_step is not None:
            on_step(Progress(0, 0, message))

    return say


@dataclass(frozen=True, eq=False)
class Sample:
    """One sampled motion. Errors and differences are fractions of the shape's longest side."""

    seed: int
    sequence: MeshSequence
    handle_error: float  # largest distance of a handle from its target after the exact solve
    soft_handle_error: float  # mean distance before the exact solve: how well the model itself follows
    difference: float  # mean distance of this motion's vertices from the mean of all seeds
    source: str = ""  # the motion it was borrowed from, as shown ("Horse, eating"); empty: none
    stretch: float = 0.0  # mean relative change of edge lengths


def stretch_warning(samples: Sequence[Sample]) -> str:
    """A sentence on the motions that stretch the mesh much; empty if there are none."""
    much = [str(sample.seed) for sample in samples if sample.stretch > MUCH_STRETCH]
    if not much:
        return ""
    which = f"Seed {much[0]} stretches" if len(much) == 1 else f"Seeds {', '.join(much)} stretch"
    return (
        f"{which} the mesh more than animations usually do (over {100 * MUCH_STRETCH:.0f} % on average); "
        "drag less far, give more frames or take another seed."
    )


@dataclass(frozen=True, eq=False)
class SampleSet:
    """All seeds of one request. `disagreement` [T, V]: the seeds' standard deviation, as a fraction of the size."""

    samples: tuple[Sample, ...]
    disagreement: NDArray[np.float32]
    seconds: float
    preset: str
    device: str
    notes: tuple[str, ...] = ()  # sentences for the user on how the motions were made


@dataclass(frozen=True)
class ReconstructionOptions:
    """How to turn scans into meshes; `sampling` is as for animations."""

    sampling: SamplingOptions = SamplingOptions()
    normalization: Normalization | None = None  # the whole shape's box in frame 0; None: guessed from the scans
    resolution: int = 128  # iso-surface cells along a side, 32 times a power of two
    faces: int | None = None  # decimate to about this many faces
    one_shape: bool = False  # all seeds share the first seed's shape, so that only motions differ

    def validate(self) -> None:
        """Raises M2VError with what is wrong and what is possible."""
        self.sampling.validate()
        if self.resolution not in (32, 64, 128, 256):
            raise M2VError(f"The resolution {self.resolution} is out of range; choose 32, 64, 128 or 256.")
        if self.faces is not None and not 100 <= self.faces <= 2_000_000:
            raise M2VError(f"A budget of {self.faces} faces is out of range; ask for 100 to 2,000,000.")


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """One seed's complete, tracked surface, in the scan's units. Distances are fractions of the longest side."""

    seed: int
    sequence: MeshSequence
    fit: NDArray[np.float32]  # [T] mean distance of a frame's observed points from the surface; NaN without points
    scan_distance: NDArray[np.float32]  # [T, V] distance of each vertex to the nearest observed point
    disagreement: NDArray[np.float32]  # [T, V] mean distance to the other seeds' surfaces; 0 for one seed
    body: str = ""  # the body of the bank that completed the scan; empty: the model alone


@dataclass(frozen=True, eq=False)
class ReconstructionSet:
    """All seeds of one request. Their meshes differ in number of vertices unless `one_shape` is set."""

    samples: tuple[Reconstruction, ...]
    normalization: Normalization
    seconds: float
    preset: str
    device: str
    notes: tuple[str, ...] = ()  # as in `SampleSet`
