"""Borrowed guesses of a batch say what the search for one request says, and never come from a clip's own rig."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from core.assets import asset_path
from core.bank.borrowing import borrow
from core.bank.library import MotionLibrary
from core.bank.matching import Body, match_body
from core.bank.search import Window, Wish, position_functional
from core.bank.shape import BankShape
from core.config import Config, load_config
from core.geometry.rigid import RigidSurface
from core.models.denoisers import BORROWED_CHANNELS
from core.models.diffusion_models import build_motion_diffusion
from core.models.part_descriptor import build_part_descriptor, describe_parts
from core.models.warm_start import HandleCondition, graph_weights
from core.training import bank_tables
from core.training.bank_tables import BankTables, match_bodies
from core.training.borrowed import (
    Candidates,
    borrowed_guesses,
    draw_candidates,
    handle_shares,
    led_through,
    play,
)
from core.training.scores import energy_score

FRAMES = 8


@pytest.fixture(scope="module")
def library() -> MotionLibrary:
    """A few shapes of the bank that ships."""
    full = MotionLibrary.load(asset_path("bank", "motions.safetensors"))
    return MotionLibrary(full.shapes[:6])


@pytest.fixture(scope="module")
def tables(library: MotionLibrary) -> BankTables:
    torch.manual_seed(0)
    return BankTables(library, build_part_descriptor(load_config("small")), torch.device("cpu"))


def nodes_of(shape: BankShape, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    nodes = torch.from_numpy(np.stack([shape.nodes] * batch).astype(np.float32))
    normals = torch.from_numpy(np.stack([shape.normals] * batch).astype(np.float32))
    return nodes, normals, graph_weights(nodes, torch.ones_like(nodes[..., 0], dtype=torch.bool))


def handles_of(nodes: Tensor, count: int = 3) -> HandleCondition:
    batch = len(nodes)
    time = torch.linspace(0.1, 1.0, FRAMES)[None, :, None, None]
    moved = time * 0.2 * torch.randn(batch, 1, count, 3, generator=torch.Generator().manual_seed(4))
    present = torch.ones(batch, count, dtype=torch.bool)
    present[0, -1] = False
    mask = present[:, None].repeat(1, FRAMES, 1)
    mask[:, ::2] = False
    return HandleCondition(nodes[:, :count].clone(), moved * mask[..., None], mask, present)


def open_to(tables: BankTables, batch: int) -> Tensor:
    return torch.zeros(batch, len(tables.names), dtype=torch.bool)


def test_a_window_moves_a_body_as_for_one_request(library: MotionLibrary, tables: BankTables) -> None:
    nodes, normals, weight = nodes_of(library.shapes[2], 1)
    matches = match_bodies(tables, nodes, normals, weight, open_to(tables, 1), torch.Generator().manual_seed(0))
    described = describe_parts(tables.network, nodes, normals)
    body = Body(
        nodes[0].numpy(), normals[0].numpy(), described.descriptor[0].detach().numpy(), float(described.heading[0]),
        weight[0].numpy(),
    )  # fmt: skip
    there = int(matches.entry[0, 0])
    match = next(m for m in match_body(body, library.entries, most=99) if m.entry is library.entries[there])
    assert match.cost == pytest.approx(float(matches.cost[0, 0]), rel=1e-3)
    # The stored descriptors are rounded, so not quite of unit length, which the two costs treat differently.
    assert np.abs(matches.parts[0, 0, :, : match.parts.shape[1]].numpy() - match.parts).mean() < 5e-3
    match = replace(match, parts=matches.parts[0, 0, :, : match.parts.shape[1]].numpy())
    clip = int(np.argmax([clip.frames for clip in match.entry.shape.clips]))
    one = torch.ones(1, 1)
    window = Candidates(
        torch.zeros(1, 1, dtype=torch.long),
        tables.first[there].view(1, 1) + int(match.entry.first[clip]),
        one,
        0.8 * one,
        0 * one,
    )
    rotation, path = play(tables, matches, window, FRAMES)
    nothing = HandleCondition(
        nodes[:, :1], torch.zeros(1, FRAMES, 1, 3), torch.zeros(1, FRAMES, 1, dtype=torch.bool),
        torch.zeros(1, 1, dtype=torch.bool),
    )  # fmt: skip
    surface = RigidSurface.of(nodes, weight)
    ours = led_through(surface, rotation, path, nothing, torch.zeros(1, 1, nodes.shape[1])).displacements[0, 0]
    wish = Wish(FRAMES + 1, 12.0, np.zeros((0, 3)), np.zeros((0, 1), int), np.zeros((0, 1)), ())
    theirs = borrow(body, [Window(match, clip, 0.0, 1.0, 0.8, 0.0)], wish).positions[0, 1:] - nodes[0]
    assert float(theirs.norm(dim=-1).max()) > 0.02
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)


def test_levers_say_where_a_handle_goes(library: MotionLibrary, tables: BankTables) -> None:
    from core.training.borrowed import _levers

    nodes, _, weight = nodes_of(library.shapes[0])
    handles = handles_of(nodes)
    shares = handle_shares(nodes, handles)
    torch.testing.assert_close(shares.sum(dim=2), handles.present.float())
    levers = _levers(nodes, weight, handles.positions, shares)
    functional = position_functional(
        Body(nodes[1].numpy(), nodes[1].numpy(), np.zeros((128, 1)), 0.0, weight[1].numpy())
    )
    expected = np.einsum("kn,npa->kpa", shares[1].numpy(), functional)
    offsets = shares[1, :, :, None] * (handles.positions[1, :, None] - nodes[1])
    np.testing.assert_allclose(levers[1].numpy(), expected + offsets.numpy(), atol=1e-4)


def test_handles_are_met_and_absent_ones_ask_for_nothing(library: MotionLibrary, tables: BankTables) -> None:
    nodes, normals, _ = nodes_of(library.shapes[1])
    handles = handles_of(nodes)
    guess = borrowed_guesses(
        tables, nodes, normals, handles, torch.full((2,), 12.0), open_to(tables, 2), 2, torch.Generator().manual_seed(1)
    )
    assert guess.displacements.shape == (2, 2, FRAMES, 128, 3) and torch.isfinite(guess.displacements).all()
    mask = handles.keyframe_mask & handles.present[:, None]
    for clip, window in ((0, 0), (1, 1)):
        at = guess.displacements[clip, window][:, :3]  # the handles sit on the first nodes
        apart = (at - handles.displacements[clip]).norm(dim=-1)[mask[clip]]
        assert float(apart.max()) < 0.02
    assert (guess.missed > 0).all()


def test_a_barred_shape_lends_nothing(tables: BankTables, library: MotionLibrary) -> None:
    rigs = [library.shapes[0].name, "somebody else's"]
    barred = tables.bar(rigs)
    assert barred.shape == (3, 2, len(tables.names)) and not barred[1].any() and not barred[2].any()
    own = [name == rigs[0] for name in tables.names]
    assert barred[0, 0].tolist() == own and sum(own) == 2  # as it is and mirrored
    assert barred[0, 1].tolist() == [pack == library.shapes[0].pack for pack in tables.packs]
    nodes, normals, weight = nodes_of(library.shapes[0])
    generator = torch.Generator().manual_seed(0)
    free = bank_tables.SHAPES
    few = replaced_shapes(4)
    try:
        matches = match_bodies(tables, nodes, normals, weight, barred[[0, 0], 0], generator)
    finally:
        replaced_shapes(free)
    assert few == free and rigs[0] not in {tables.names[int(entry)] for entry in matches.entry.flatten()}


def replaced_shapes(count: int) -> int:
    before = bank_tables.SHAPES
    bank_tables.SHAPES = count
    return before


def test_likelier_windows_come_nearer_to_the_handles(library: MotionLibrary, tables: BankTables) -> None:
    """Of the windows looked at, those with the lowest energy miss the handles by less than those with the highest."""
    nodes, normals, weight = nodes_of(library.shapes[3])
    handles = handles_of(nodes)
    generator = torch.Generator().manual_seed(2)
    matches = match_bodies(tables, nodes, normals, weight, open_to(tables, 2), generator)
    shares = handle_shares(nodes, handles)
    found = draw_candidates(tables, matches, nodes, weight, handles, shares, torch.full((2,), 12.0), generator)
    order = found.energy.argsort(dim=1)
    surface = RigidSurface.of(nodes, weight)

    def missed(chosen: Tensor) -> float:
        rotation, path = play(tables, matches, found.at(chosen), FRAMES)
        return float(led_through(surface, rotation, path, handles, shares).missed.mean())

    assert missed(order[:, :6]) < missed(order[:, -6:])


def test_the_energy_score_asks_for_samples_and_distance_for_their_middle() -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (400, 2, 3, 3)
    truth = torch.randn(shape, generator=generator)

    def score(spread: float) -> float:
        samples = spread * torch.randn(2 * shape[0], *shape[1:], generator=generator)
        return float(energy_score(samples, truth.repeat(2, 1, 1, 1), samples=2).mean())

    assert score(1.0) < score(0.4) and score(1.0) < score(2.0)
    single = lambda spread: float(energy_score(spread * torch.randn(shape, generator=generator), truth).mean())  # noqa: E731
    assert single(0.0) < single(1.0)


def small_with(borrowed: bool) -> Config:
    config = load_config("small")
    return replace(config, motion_denoiser=replace(config.motion_denoiser, borrowed=borrowed))


def test_a_fresh_denoiser_answers_as_if_nothing_were_borrowed() -> None:
    torch.manual_seed(0)
    model = build_motion_diffusion(small_with(True)).eval()
    nodes = torch.randn(2, 128, 3)
    handles = handles_of(nodes)
    prepared, warm = model.prepare(torch.randn(2, 128, 16), nodes, handles)
    assert warm is not None
    x, level = torch.randn(2, FRAMES, 64, 3), torch.zeros(2)
    features = model.borrowed_features(warm, torch.randn(2, FRAMES, 64, 3), torch.rand(2), torch.tensor([True, False]))
    assert features.shape[-1] == BORROWED_CHANNELS and not features[1].any() and features[0].any()
    with torch.no_grad():
        torch.testing.assert_close(
            model.denoiser(x, level, model.denoiser.with_borrowed(prepared, features)),
            model.denoiser(x, level, prepared),
        )
