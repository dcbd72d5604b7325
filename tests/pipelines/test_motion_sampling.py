"""Motion over time: jitter goes, what makes samples differ stays, and nothing lurches into a key."""

from __future__ import annotations

import numpy as np
import torch

from core.models.time_smoothing import binomial_smooth
from core.models.warm_start import HandleCondition, fill_tracks
from core.pipelines.temporal import smooth_displacements, steadied, time_between_keys, whittaker_smooth


def test_what_changes_slowly_stays_and_jitter_goes() -> None:
    time = torch.arange(1.0, 17.0)
    slow = torch.stack([torch.zeros(16), time / 16, torch.sin(time / 5)])[:, :, None, None].expand(-1, -1, 4, 3)
    assert (binomial_smooth(slow) - slow).abs().max() < 0.02
    assert torch.allclose(binomial_smooth(slow)[:2], slow[:2], atol=1e-6), "a steady motion stays as it is, to its ends"
    level = torch.ones(1, 16, 4, 3)
    assert torch.equal(binomial_smooth(level, resting=False), level)
    shaking = torch.tensor([1.0, -1.0]).repeat(8)[None, :, None, None].expand(2, -1, 4, 3)
    assert binomial_smooth(shaking)[:, 2:-2].abs().max() < 1e-6


def test_seeds_and_anchors_do_not_mix() -> None:
    deviations = torch.randn(3, 9, 5, 3, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(binomial_smooth(deviations)[1:2, :, 2:3], binomial_smooth(deviations[1:2, :, 2:3]))
    single = deviations[:, :1]
    assert torch.allclose(binomial_smooth(single), single), "a single moving frame has no neighbours"
    assert torch.allclose(binomial_smooth(single, resting=False), single)


def handles_of(*given: list[int], frames: int = 16) -> HandleCondition:
    """One handle for each list of moving frames that it is given in."""
    known = torch.zeros(1, frames, len(given), dtype=torch.bool)
    for number, when in enumerate(given):
        known[0, when, number] = True
    places = torch.zeros(1, len(given), 3)
    present = torch.ones(1, len(given), dtype=torch.bool)
    return HandleCondition(places, torch.zeros(1, frames, len(given), 3), known, present)


def between_keys(handles: HandleCondition, affinity: torch.Tensor) -> torch.Tensor | None:
    return time_between_keys(handles, fill_tracks(handles), affinity)


def test_a_path_that_lurches_into_its_key_arrives_evenly() -> None:
    between = between_keys(handles_of([15]), torch.ones(1, 2, 1))
    lurching = torch.linspace(0, 0.5, 16)
    lurching[-1] = 1.0
    paths = lurching[None, :, None, None].expand(2, -1, 2, 3)
    even = whittaker_smooth(paths, between)
    steps = even[0, :, 0, 0].diff().abs()
    assert steps.max() < 0.5 * lurching.diff().max()
    assert torch.allclose(even[:, -1], paths[:, -1], atol=0.05), "the key itself is trusted"
    steady = torch.linspace(1 / 16, 1, 16)[None, :, None, None].expand(1, -1, 2, 3)
    assert torch.allclose(whittaker_smooth(steady, between), steady, atol=1e-5), "an even motion stays as it is"


def test_full_tracks_are_left_alone_and_each_anchor_listens_to_its_own_handle() -> None:
    paths = torch.randn(2, 16, 2, 3, generator=torch.Generator().manual_seed(3))
    everywhere = handles_of(list(range(16)), [15])
    between = between_keys(everywhere, torch.eye(2)[None])
    even = whittaker_smooth(paths, between)
    assert torch.allclose(even[:, :, 0], paths[:, :, 0], atol=0.05), "white noise, in every frame given"
    rough = lambda x: x.diff(n=2, dim=1).square().mean()  # noqa: E731
    assert rough(even[:, :, 1]) < 0.1 * rough(paths[:, :, 1])
    assert torch.allclose(whittaker_smooth(paths[1:], between)[0], even[1], atol=1e-6), "seeds do not mix"


def test_without_handles_or_frames_between_there_is_nothing_to_ease() -> None:
    paths = torch.randn(1, 16, 2, 3, generator=torch.Generator().manual_seed(3))
    nobody = handles_of([])._replace(present=torch.zeros(1, 1, dtype=torch.bool))
    assert between_keys(nobody, torch.ones(1, 2, 1)) is None
    assert whittaker_smooth(paths, None) is paths
    between = between_keys(handles_of([15]), torch.ones(1, 2, 1))
    assert torch.equal(whittaker_smooth(paths[:, :1], between), paths[:, :1])


def test_frames_bent_on_their_own_become_one_smooth_motion():
    noise = np.random.default_rng(0)
    truth = np.linspace(0, 1, 17)[:, None, None] * np.ones((1, 5, 3))
    paths = truth + 0.02 * noise.standard_normal(truth.shape)
    paths[0] = 0
    trust = np.full(17, 0.5)
    paths[8], trust[8] = 3.0, 1e-6  # a frame that shows nothing
    smooth = smooth_displacements(paths, trust)
    jitter = lambda x: np.abs(np.diff(x, n=3, axis=0)).mean()  # noqa: E731
    assert np.array_equal(smooth[0], paths[0]) and smooth.shape == paths.shape
    assert np.abs(smooth[8] - truth[8]).max() < 0.05
    assert jitter(smooth) < 0.2 * jitter(np.delete(paths, 8, axis=0))
    np.testing.assert_allclose(smooth_displacements(truth, np.ones(17)), truth, atol=0.02)


def test_what_is_slow_trembles_less_and_what_is_fast_stays():
    noise = 0.001 * np.random.default_rng(0).standard_normal((17, 50, 3))
    noise[0] = 0
    jitter = lambda x: np.abs(np.diff(x, n=3, axis=0)).mean()  # noqa: E731
    slow = noise + 0.002 * np.arange(17)[:, None, None]
    assert jitter(steadied(slow)) < 0.4 * jitter(slow)
    assert np.abs(steadied(slow) - slow).mean() < 0.001
    fast = noise + 0.1 * np.sin(np.arange(17))[:, None, None]
    assert np.abs(steadied(fast) - fast).max() < 0.01
    assert np.array_equal(steadied(slow[:2]), slow[:2])
