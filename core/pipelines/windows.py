"""Long animations: applies a denoiser trained on short clips to overlapping windows inside every call.

As in MultiDiffusion (Bar-Tal et al. 2023): at each noise level every window is denoised on its own and the answers are
blended, so that all frames of a clip are sampled together and no window waits for another. Each window is treated as a
whole training clip: its time embedding starts at zero and frame distances are clamped to the trained length, but handle
targets and warm start come from the whole clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config import Config
from core.models.conditioners import ConditionTokens
from core.models.denoisers import MotionDenoiser, Prepared
from core.models.diffusion_models import MotionCondition, MotionDiffusion, with_affinity
from core.models.observation_conditioners import ScanCondition
from core.models.warm_start import FilledTracks, HandleCondition, fill_tracks
from core.shapes import Float

# Windows times seeds per network call; more only costs memory.
CLIPS_PER_CALL = 16


@dataclass(frozen=True)
class Windows:
    """The layout of windows: `starts` [W] over `frames` moving frames, each `length` long, every `hop` frames."""

    frames: int
    length: int
    hop: int

    @classmethod
    def cover(cls, moving: int, config: Config) -> Windows:
        """Windows of the trained length, half overlapping, over `moving` frames rounded up so that they fit."""
        patch = config.motion_denoiser.frames_per_token
        length = -(-(config.training.frames - 1) // patch) * patch
        hop = max(patch, length // 2 // patch * patch)
        beyond = max(0, moving - length)
        return cls(frames=length + -(-beyond // hop) * hop, length=length, hop=hop)

    @property
    def starts(self) -> tuple[int, ...]:
        return tuple(range(0, self.frames - self.length + 1, self.hop))

    def weights(self) -> Float[Tensor, "W L"]:
        """Raised-cosine weight of each window at its frames; over all windows they sum to 1 at every frame."""
        phase = (torch.arange(self.length) + 0.5) / self.length
        bump = torch.sin(torch.pi * phase).square()
        table = bump.expand(len(self.starts), -1).clone()
        total = self.join(torch.ones_like(table)[None, :, :, None, None], table)[0, :, 0, 0]
        return table / self.split(total[None, :, None, None])[0, :, :, 0, 0]

    def split(self, x: Float[Tensor, "S T M C"]) -> Float[Tensor, "S W L M C"]:
        """Cut a whole clip into its windows."""
        return torch.stack([x[:, start : start + self.length] for start in self.starts], dim=1)

    def join(self, parts: Float[Tensor, "S W L M C"], weights: Float[Tensor, "W L"]) -> Float[Tensor, "S T M C"]:
        """Weighted sum of the windows' answers."""
        whole = parts.new_zeros(parts.shape[0], self.frames, *parts.shape[3:])
        for number, start in enumerate(self.starts):
            whole[:, start : start + self.length] += parts[:, number] * weights[number][None, :, None, None].to(parts)
        return whole


def prepare_windows(
    diffusion: MotionDiffusion,
    windows: Windows,
    shape_latents: Float[Tensor, "1 Ms Cs"],
    nodes: Float[Tensor, "1 P 3"],
    handles: HandleCondition,
    scans: ScanCondition | None = None,
    distance: Tensor | None = None,
    tracks: FilledTracks | None = None,
) -> MotionCondition:
    """The condition of every window (batch W) and the whole clip's warm start.

    `handles`, their filled `tracks` and `scans` cover all `windows.frames` frames of one clip.
    """
    tracks = fill_tracks(handles) if tracks is None else tracks
    whole = diffusion.prepare(shape_latents, nodes, handles, scans, distance, tracks=tracks)
    warm = whole.warm
    count = len(windows.starts)
    if count == 1:
        return whole
    longest = float(windows.length)
    near = FilledTracks(tracks.displacements, tracks.before.clamp_max(longest), tracks.after.clamp_max(longest))
    observed = diffusion.tokens(handles, near, scans)
    patch = diffusion.denoiser.config.frames_per_token
    first = torch.tensor(windows.starts, device=nodes.device)[:, None] // patch
    index = first + torch.arange(windows.length // patch, device=nodes.device)
    tokens = ConditionTokens(observed.tokens[0][index], observed.visible[0][index])
    prior_features = affinity = scan = None
    if warm is not None:
        tokens = with_affinity(tokens, warm)
        prior_features = windows.split(diffusion.prior_features(warm))[0]
        affinity = warm.affinity.expand(count, -1, -1)
        scan = diffusion.scan(nodes[:, : diffusion.latents], warm, scans)
        scan = None if scan is None else windows.split(scan)[0]
    shape_latents, anchors = (shape_latents.expand(count, -1, -1), nodes[:, : diffusion.latents].expand(count, -1, -1))
    prepared = diffusion.denoiser.prepare(shape_latents, anchors, tokens, prior_features, affinity, scan)
    return MotionCondition(prepared, warm)


def windowed_network(
    denoiser: MotionDenoiser,
    windows: Windows,
    prepared: Prepared,
    check_cancelled: Callable[[], None] = lambda: None,
    borrowed: Float[Tensor, "S T M 8"] | None = None,
) -> Callable[[Tensor, Tensor], Tensor]:
    """The network F(x [S, T, M, C], noise level [S]) over whole clips of several seeds, from the one over windows.

    Blending F is blending the denoised estimates, because all windows share x. `check_cancelled` is called between
    parts of one call. `borrowed` is a further guess for every seed, see `with_borrowed`.
    """
    weights = windows.weights()
    count = len(windows.starts)
    lent = None if borrowed is None else windows.split(borrowed)

    def network(x: Tensor, level: Tensor) -> Tensor:
        cut = windows.split(x)
        answers = torch.empty_like(cut)
        for first in range(0, len(x), CLIPS_PER_CALL):
            seeds = slice(first, min(first + CLIPS_PER_CALL, len(x)))
            width = seeds.stop - seeds.start
            step = max(1, CLIPS_PER_CALL // width)
            for start in range(0, count, step):
                if first or start:
                    check_cancelled()
                chosen = slice(start, min(start + step, count))
                inputs = cut[seeds, chosen]
                condition = select_clips(prepared, chosen, count).repeat(width)
                if lent is not None:
                    condition = denoiser.with_borrowed(condition, lent[seeds, chosen].flatten(0, 1))
                levels = level[seeds].repeat_interleave(inputs.shape[1])
                answers[seeds, chosen] = denoiser(inputs.flatten(0, 1), levels, condition).unflatten(
                    0, inputs.shape[:2]
                )
        return answers[:, 0] if count == 1 else windows.join(answers, weights)

    return network


def select_clips(prepared: Prepared, chosen: slice, count: int) -> Prepared:
    """The condition of some of `count` clips; tensors per frame are folded into the batch, clip after clip."""

    def rows(x: Tensor) -> Tensor:
        per_clip = x.shape[0] // count
        return x[chosen.start * per_clip : chosen.stop * per_clip]

    return prepared.map(rows)
