"""Windows over long clips: they cover every frame, agree with one another and blend without seams."""

import dataclasses

import pytest
import torch

from core.config import load_config
from core.models.denoisers import Prepared
from core.models.diffusion_models import build_motion_diffusion
from core.models.warm_start import HandleCondition
from core.pipelines.windows import CLIPS_PER_CALL, Windows, prepare_windows, select_clips, windowed_network

SMALL = load_config("small")
TINY = load_config("tiny")


@pytest.mark.parametrize("moving", [1, 7, 16, 17, 24, 25, 100, 199])
@pytest.mark.parametrize("config", [SMALL, TINY], ids=["small", "tiny"])
def test_windows_have_the_trained_length_and_cover_every_frame(moving, config):
    windows = Windows.cover(moving, config)
    patch = config.motion_denoiser.frames_per_token
    assert windows.length >= config.training.frames - 1
    assert windows.length % patch == windows.hop % patch == windows.frames % patch == 0
    assert windows.starts[0] == 0 and windows.starts[-1] + windows.length == windows.frames >= moving
    # No window would be left out without missing a frame.
    assert len(windows.starts) == 1 or windows.frames - windows.hop < moving


def test_a_trained_clip_is_one_window():
    assert Windows.cover(16, SMALL).starts == (0,)
    assert Windows.cover(17, SMALL).starts == (0, 8)


@pytest.mark.parametrize("moving", [16, 40, 199])
def test_weights_are_positive_and_sum_to_one_at_every_frame(moving):
    windows = Windows.cover(moving, SMALL)
    weights = windows.weights()
    assert (weights > 0).all()
    total = windows.join(torch.ones(1, *weights.shape, 1, 1), weights)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_windows_that_agree_are_joined_to_what_they_were_cut_from():
    windows = Windows.cover(40, SMALL)
    whole = torch.randn(2, windows.frames, 3, 2)
    torch.testing.assert_close(windows.join(windows.split(whole), windows.weights()), whole)


def test_windows_that_disagree_leave_no_seam():
    """Answers that jump by 1 from window to window change by little from frame to frame."""
    windows = Windows.cover(199, SMALL)
    answers = torch.arange(len(windows.starts)).float()[None, :, None, None, None].expand(1, -1, windows.length, 1, 1)
    joined = windows.join(answers, windows.weights())[0, :, 0, 0]
    steps = joined.diff()
    per_frame = (len(windows.starts) - 1) / (windows.frames - windows.hop)
    assert steps.min() >= 0
    assert steps.max() < 2.0 * per_frame


def random_handles(frames: int, count: int = 3) -> HandleCondition:
    keyframe_mask = torch.rand(1, frames, count) < 0.3
    displacements = 0.1 * torch.randn(1, frames, count, 3) * keyframe_mask[..., None]
    return HandleCondition(
        torch.rand(1, count, 3) - 0.5, displacements, keyframe_mask, torch.ones(1, count, dtype=torch.bool)
    )


def prepared_tiny(frames: int):
    torch.manual_seed(0)
    diffusion = build_motion_diffusion(TINY).eval()
    torch.nn.init.normal_(diffusion.denoiser.output.weight, std=0.1)  # fresh ones answer zero
    nodes = torch.rand(1, max(TINY.shape.latents, TINY.diffusion.warm_start_nodes), 3) - 0.5
    latents = torch.randn(1, TINY.shape.latents, TINY.shape.channels)
    windows = Windows.cover(frames, TINY)
    handles = random_handles(windows.frames)
    return (
        diffusion,
        windows,
        latents,
        nodes,
        handles,
        prepare_windows(diffusion, windows, latents, nodes, handles),
    )


@torch.no_grad()
def test_one_window_is_the_network_as_it_was_trained():
    diffusion, windows, latents, nodes, handles, (prepared, warm) = prepared_tiny(4)
    x, level = torch.randn(2, windows.frames, TINY.motion.latents, TINY.motion.channels), torch.zeros(2)
    direct = diffusion.prepare(latents, nodes, handles)
    expected = diffusion.denoiser(x, level, direct.prepared.repeat(2))
    torch.testing.assert_close(windowed_network(diffusion.denoiser, windows, prepared)(x, level), expected)
    assert warm is not None and torch.equal(warm.mean, direct.warm.mean)


@torch.no_grad()
def test_the_first_window_is_alone_at_its_start():
    diffusion, windows, *_, (prepared, _) = prepared_tiny(9)
    assert len(windows.starts) > 2
    x = torch.randn(1, windows.frames, TINY.motion.latents, TINY.motion.channels)
    answer = windowed_network(diffusion.denoiser, windows, prepared)(x, torch.zeros(1))
    first = select_clips(prepared, slice(0, 1), len(windows.starts))
    expected = diffusion.denoiser(x[:, : windows.length], torch.zeros(1), first)
    torch.testing.assert_close(answer[:, : windows.hop], expected[:, : windows.hop])


@torch.no_grad()
@pytest.mark.parametrize("seeds", [1, 3, CLIPS_PER_CALL + 2])
def test_seeds_do_not_see_one_another(seeds):
    diffusion, windows, *_, (prepared, _) = prepared_tiny(20)
    network = windowed_network(diffusion.denoiser, windows, prepared)
    x = torch.randn(seeds, windows.frames, TINY.motion.latents, TINY.motion.channels)
    together = network(x, torch.zeros(seeds))
    alone = network(x[-1:], torch.zeros(1))
    torch.testing.assert_close(together[-1:], alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_every_window_takes_the_place_of_a_training_clip():
    """Windows with equal handles and equal warm start get equal conditions, wherever they lie in the clip."""
    config = dataclasses.replace(
        TINY,
        diffusion=dataclasses.replace(TINY.diffusion, warm_start=False),
        conditions=dataclasses.replace(TINY.conditions, scan_channels=0),
        motion_denoiser=dataclasses.replace(TINY.motion_denoiser, geometric_attention=False, output_directions=False),
    )
    diffusion = build_motion_diffusion(config).eval()
    windows = Windows.cover(20, config)
    absent = HandleCondition(
        torch.zeros(1, 1, 3),
        torch.zeros(1, windows.frames, 1, 3),
        torch.zeros(1, windows.frames, 1, dtype=torch.bool),
        torch.zeros(1, 1, dtype=torch.bool),
    )
    latents = torch.randn(1, config.shape.latents, config.shape.channels)
    prepared, warm = prepare_windows(diffusion, windows, latents, torch.rand(1, config.shape.latents, 3), absent)
    assert warm is None
    assert isinstance(prepared, Prepared)
    torch.testing.assert_close(prepared.fixed, prepared.fixed[:1].expand_as(prepared.fixed))


def test_a_long_call_can_be_stopped_inside():
    diffusion, windows, *_, (prepared, _) = prepared_tiny(60)
    pulses: list[int] = []
    network = windowed_network(diffusion.denoiser, windows, prepared, lambda: pulses.append(1))
    with torch.no_grad():
        network(torch.randn(2, windows.frames, TINY.motion.latents, TINY.motion.channels), torch.zeros(2))
    assert len(pulses) == -(-2 * len(windows.starts) // CLIPS_PER_CALL) - 1
