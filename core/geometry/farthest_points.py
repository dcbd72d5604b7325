"""Farthest point sampling and nearest neighbours of batched point sets, in torch, on whatever device the points are."""

from __future__ import annotations

import torch
from torch import Tensor

from core.precision import distances
from core.shapes import Bool, Float, Int

# Entries of the largest distance table [B, chunk, N] that nearest_indices builds (64 MB of float32).
_TABLE_ENTRIES = 1 << 24


@torch.no_grad()
def farthest_point_indices(
    points: Float[Tensor, "B N 3"],
    count: int,
    start: int | Int[Tensor, " B"] | None = None,
    given: Float[Tensor, "B G 3"] | None = None,
) -> Int[Tensor, "B count"]:
    """Pick `count` points from each set, each one farthest from those already picked.

    `start` is the first pick (one index, or one per set), by default the point farthest from the set's centroid, so
    that the answer depends on the points only. `given` are places outside the set that count as picked already. Greedy,
    so the first k picks do not depend on `count`; with `count` above N the last picks repeat. Paper section 3.2 (latent
    anchors).

    Returns int64 on the points' device. Raises ValueError on an empty set, a wrong shape or a start outside it.
    """
    if points.ndim != 3 or points.shape[-1] != 3 or points.shape[1] == 0:
        raise ValueError(f"Farthest points need a non-empty set [B, N, 3], but got {tuple(points.shape)}.")
    if count < 1:
        raise ValueError(f"At least one farthest point is needed, but got {count}.")
    batch, size, _ = points.shape
    # Half precision would tie most distances; one coordinate per row keeps each pass over contiguous memory.
    axes = points.detach().to(torch.float32).transpose(1, 2).contiguous()
    chosen = torch.empty(batch, count, dtype=torch.int64, device=points.device)
    distance = torch.full((batch, size), torch.inf, device=points.device)
    if given is not None and given.shape[1]:
        places = given.detach().to(torch.float32)
        table = distances(points.detach().to(torch.float32), places)
        distance = table.amin(dim=2).square()
        current = distance.argmax(dim=1)
    elif start is None:
        current = (axes - axes.mean(dim=2, keepdim=True)).square_().sum(1).argmax(dim=1)
    else:
        current = torch.as_tensor(start, dtype=torch.int64, device=points.device).expand(batch)
        if isinstance(start, int) and not 0 <= start < size:
            raise ValueError(f"The first farthest point {start} is not one of the {size} points.")
    offset = torch.empty_like(axes)
    for step in range(count):
        chosen[:, step] = current
        if step + 1 == count:
            break
        last = axes.gather(2, current.view(batch, 1, 1).expand(batch, 3, 1))
        torch.sub(axes, last, out=offset)
        torch.minimum(distance, offset.square_().sum(dim=1), out=distance)
        current = distance.argmax(dim=1)
    return chosen


@torch.no_grad()
def farthest_present_indices(
    points: Float[Tensor, "B N 3"], present: Bool[Tensor, "B N"], count: int
) -> Int[Tensor, "B count"]:
    """Farthest points among those marked `present` [B, N]; the picks repeat once these are used up."""
    first = present.to(torch.int64).argmax(dim=1)
    start = points.gather(1, first[:, None, None].expand(-1, 1, 3))
    # Absent points take the place of one that is there, so they are only chosen last.
    return farthest_point_indices(torch.where(present[..., None], points, start), count, start=first)


@torch.no_grad()
def nearest_indices(queries: Float[Tensor, "B Q 3"], points: Float[Tensor, "B N 3"], k: int) -> Int[Tensor, "B Q k"]:
    """Indices of the `k` points nearest to each query, nearest first; in chunks, which bounds memory.

    Raises ValueError when `k` is below 1 or above N.
    """
    if not 1 <= k <= points.shape[1]:
        raise ValueError(f"{k} nearest points were asked for, but there are {points.shape[1]}.")
    queries, points = queries.detach().to(torch.float32), points.detach().to(torch.float32)
    chunk = max(1, _TABLE_ENTRIES // max(1, points.shape[0] * points.shape[1]))
    parts = []
    for piece in queries.split(chunk, dim=1):
        # The matrix-product shortcut loses near neighbours to cancellation, so distances are taken directly.
        table = distances(piece, points)
        parts.append(table.argmin(dim=2, keepdim=True) if k == 1 else table.topk(k, dim=2, largest=False).indices)
    if not parts:
        return torch.empty(queries.shape[0], 0, k, dtype=torch.int64, device=queries.device)
    return torch.cat(parts, dim=1)
