"""The models behind the editor: the interface that the worker uses, and how they are loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from core.pipelines.request import (
    OnStep,
    Progress,
    ReconstructionOptions,
    ReconstructionSet,
    SampleSet,
    SamplingOptions,
)
from core.sequence import HandleTracks, ScanSequence, SourceMesh


class AnimatorLike(Protocol):
    """The methods of `core.pipelines.animate.Animator` and `reconstruct.Reconstructor` that the worker calls."""

    def animate(
        self, mesh: SourceMesh, tracks: HandleTracks, options: SamplingOptions, on_step: OnStep | None = None
    ) -> SampleSet: ...

    def reconstruct(
        self, scans: ScanSequence, options: ReconstructionOptions, on_step: OnStep | None = None
    ) -> ReconstructionSet: ...

    def facing(self, mesh: SourceMesh) -> float | None: ...


AnimatorFactory = Callable[[], AnimatorLike]


class Pipelines:
    """Both pipelines of a preset. The animator is loaded at once, the reconstructor for the first scans."""

    def __init__(self, preset: str = "small", device: str = "auto") -> None:
        from core.pipelines.animate import Animator

        self.preset = preset
        self._asked_device = device
        self._stamps = _stamps()
        self._animator = Animator.load(preset, device)
        self._reconstructor: Any = None
        self.device = self._animator.device

    def animate(
        self, mesh: SourceMesh, tracks: HandleTracks, options: SamplingOptions, on_step: OnStep | None = None
    ) -> SampleSet:
        self._read_motions()
        return self._animator.animate(mesh, tracks, options, on_step)

    def facing(self, mesh: SourceMesh) -> float | None:
        return self._animator.facing(mesh)

    def _read_motions(self) -> None:
        """Read the motion bank again if the user has added or removed motions."""
        from core.bank.library import MotionLibrary
        from core.bank.user_bank import bank_files

        now = _stamps()
        if now != self._stamps and self._animator.library is not None:
            self._animator.library = MotionLibrary.load(*bank_files())
        self._stamps = now

    def reconstruct(
        self, scans: ScanSequence, options: ReconstructionOptions, on_step: OnStep | None = None
    ) -> ReconstructionSet:
        if self._reconstructor is None:
            from core.pipelines.reconstruct import Reconstructor

            if on_step is not None:
                on_step(Progress(0, 0, "Loading the model for scans"))
            self._reconstructor = Reconstructor.load(self.preset, self._asked_device)
        result: ReconstructionSet = self._reconstructor.reconstruct(scans, options, on_step)
        return result


def _stamps() -> list[tuple[str, int]]:
    """The bank's files with their times of change."""
    from core.bank.user_bank import bank_files

    return [(str(path), path.stat().st_mtime_ns) for path in bank_files()]


def load_animator(preset: str = "small", device: str = "auto") -> AnimatorLike:
    """The factory that the window uses: imports torch and reads the checkpoint, which takes seconds."""
    return Pipelines(preset, device)
