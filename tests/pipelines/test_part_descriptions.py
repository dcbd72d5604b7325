"""Descriptors and headings of surfaces, by the weights that ship and by fresh ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.assets import asset_path
from core.bank.bank_file import read_bank
from core.bank.matching import yaw
from core.bank.shape import BankShape, mirrored
from core.config import load_config
from core.models.part_descriptor import build_part_descriptor
from core.pipelines.part_descriptions import PartDescriptions


@pytest.fixture(scope="module")
def describe() -> PartDescriptions:
    return PartDescriptions.load("small")


@pytest.fixture(scope="module")
def shapes() -> list[BankShape]:
    return read_bank(asset_path("bank", "motions.safetensors"))


def test_a_shape_is_described_once_per_weights(describe: PartDescriptions, shapes: list[BankShape]) -> None:
    assert describe.described(shapes[0]) is shapes[0]
    other = describe.described(replace(shapes[0], described_by="others", heading=1.0))
    assert other.described_by == describe.version and other.heading == pytest.approx(shapes[0].heading, abs=0.05)


def test_the_mirror_image_is_described_as_what_it_is(describe: PartDescriptions, shapes: list[BankShape]) -> None:
    here = describe.described(replace(shapes[5], described_by=""))
    there = describe.described(mirrored(replace(shapes[5], described_by="")))
    alike = (mirrored(here).descriptors * there.descriptors).sum(axis=-1)
    assert alike.mean() > 0.9, "the headings differ by little, and so do the descriptors"


def test_a_turned_body_is_found_turned(describe: PartDescriptions, shapes: list[BankShape]) -> None:
    found = []
    for shape in shapes[::6]:
        for angle in (0.5, 2.0, -2.5):
            heading = describe(shape.nodes @ yaw(angle).T, shape.normals @ yaw(angle).T)[1]
            found.append(np.cos(heading - shape.heading - angle) > np.cos(np.pi / 6))
    assert np.mean(found) > 0.75


def test_scale_and_place_do_not_matter_and_versions_tell_weights_apart(shapes: list[BankShape]) -> None:
    torch.manual_seed(0)
    one, other = (PartDescriptions(build_part_descriptor(load_config("tiny"))) for _ in range(2))
    near, far = (one(points, shapes[0].normals) for points in (shapes[0].nodes, shapes[0].nodes * 50 + 7))
    assert near[0] == pytest.approx(far[0], abs=1e-2) and near[1] == pytest.approx(far[1], abs=1e-2)
    assert one.version == one.version != other.version
