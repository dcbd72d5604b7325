"""Reconstruct: partial scans of a moving shape become complete, tracked mesh sequences (paper 3.2, 3.3).

reconstructor = Reconstructor.load("small")
result = reconstructor.reconstruct(read_scans("scans/"), ReconstructionOptions())
"""

from __future__ import annotations

from core.pipelines.request import OnStep, ReconstructionOptions, ReconstructionSet
from core.sequence import ScanSequence


class Reconstructor:
    """The shape and motion models behind one call."""

    @classmethod
    def load(cls, preset: str = "small", device: str = "auto") -> Reconstructor:
        """From the files of a preset (or a folder with one file per stage); raises CheckpointError."""
        raise RuntimeError("under construction")

    def reconstruct(
        self, scans: ScanSequence, options: ReconstructionOptions, on_step: OnStep | None = None
    ) -> ReconstructionSet:
        """Sample complete surfaces and their motion. Raises DataError for scans that cannot be used."""
        raise RuntimeError("under construction")
