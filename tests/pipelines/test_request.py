"""What results say about themselves."""

from dataclasses import replace

import numpy as np

from core.pipelines.request import MUCH_STRETCH, Sample, stretch_warning
from core.sequence import MeshSequence


def test_results_that_stretch_much_are_named_in_one_sentence():
    sequence = MeshSequence(np.zeros((2, 3, 3), np.float32), np.array([[0, 1, 2]], np.int32))
    calm = Sample(0, sequence, 0.0, 0.0, 0.0, "Horse, eating", 0.9 * MUCH_STRETCH)
    wild = replace(calm, seed=3, stretch=1.1 * MUCH_STRETCH)
    assert stretch_warning([calm]) == ""
    assert stretch_warning([calm, wild]).startswith("Seed 3 stretches the mesh more than animations usually do")
    assert stretch_warning([wild, replace(wild, seed=5)]).startswith("Seeds 3, 5 stretch the mesh")
