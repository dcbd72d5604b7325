"""The bank that ships: small enough, credited, free of captured motion, described by the weights that ship."""

from __future__ import annotations

import numpy as np
import pytest

from core.assets import asset_path
from core.bank.bank_file import read_bank
from core.bank.credits import LICENCE, OWN_AUTHOR, credit_of
from core.bank.shape import BankShape
from core.experiments.procedural_shapes import DOING
from core.pipelines.part_descriptions import PartDescriptions

BANK = asset_path("bank", "motions.safetensors")


@pytest.fixture(scope="module")
def shapes() -> list[BankShape]:
    return read_bank(BANK)


def test_it_is_small_and_holds_many_motions(shapes: list[BankShape]) -> None:
    assert BANK.stat().st_size <= 12e6
    assert len(shapes) >= 100 and sum(len(shape.clips) for shape in shapes) >= 1000


def test_each_model_is_credited_and_free(shapes: list[BankShape]) -> None:
    readme = asset_path("bank", "README.md").read_text(encoding="utf-8")
    for shape in shapes:
        assert (shape.author, shape.licence, shape.pack) == credit_of(shape.name)
        assert shape.licence == LICENCE and shape.author != OWN_AUTHOR
        assert shape.author in readme or shape.author.split(",")[0] in readme


def test_each_kind_of_procedural_body_is_in_it(shapes: list[BankShape]) -> None:
    assert {shape.category for shape in shapes if shape.pack == "procedural"} == set(DOING)


def test_no_captured_motion_is_in_it(shapes: list[BankShape]) -> None:
    assert not [shape.name for shape in shapes if shape.name.startswith("body_") or shape.category == "bodies"]


def test_nothing_is_in_it_twice(shapes: list[BankShape]) -> None:
    assert len({shape.source for shape in shapes}) == len({shape.name for shape in shapes}) == len(shapes)


def test_the_weights_that_ship_described_it(shapes: list[BankShape]) -> None:
    describe = PartDescriptions.load("small")
    assert {shape.described_by for shape in shapes} == {describe.version}
    for shape in shapes:
        assert shape.descriptors.shape == (2, len(shape.nodes), describe.network.to_descriptor.out_features)
        assert np.linalg.norm(shape.descriptors, axis=-1) == pytest.approx(1, abs=0.03)


def test_a_users_own_file_is_theirs() -> None:
    assert credit_of("MyCat") == (OWN_AUTHOR, "", "MyCat")
    assert credit_of("farm_Cow").pack == "farm animals" and credit_of("m2m_cat").author == "Mesh2Motion"
