"""The smooth union of a rig's parts: signed distance, surface samples, skinning weights. In the builder's units."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.data.creatures.rig import CreatureRig

NEAR = 8  # parts that can matter on the surface of one part
_FAR = 1e3
# Rows of a parts table, [17, ..., K]: centre 0-2, axes 3-11 row by row, half sides 12-14, radius 15, taper 16.
_CLASSES = torch.tensor([[c >> axis & 1 for axis in range(3)] for c in range(1, 8)], dtype=torch.bool)


def place(rig: CreatureRig, rotation: Tensor, translation: Tensor) -> Tensor:
    """The parameters [17, B, J] of each part, moved by one frame's transforms [B, J, 3, 3] and [B, J, 3]."""
    centre = (rotation @ rig.centre[..., None])[..., 0] + translation
    axes = rig.axes @ rotation.transpose(-1, -2)
    columns = [centre, axes.flatten(-2), rig.half, rig.radius[..., None], rig.taper[..., None]]
    table = torch.cat(columns, -1).permute(2, 0, 1).contiguous()
    table[0:3] = torch.where(rig.valid, table[0:3], _FAR)
    return table


def part_distances(points: Tensor, table: Tensor, gradient: bool = False) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Signed distances [..., K] of points [3, ...] to their parts [17, ..., K], and the gradient's x, y, z."""
    px, py, pz = (points[axis][..., None] - table[axis] for axis in range(3))
    lx = table[3] * px + table[4] * py + table[5] * pz
    ly = table[6] * px + table[7] * py + table[8] * pz
    lz = table[9] * px + table[10] * py + table[11] * pz
    hx, hy, hz, radius, taper = table[12], table[13], table[14], table[15], table[16]
    slope = (taper - 1) / (2 * hx).clamp(min=1e-4)
    cross = 1 + slope * (torch.minimum(torch.maximum(lx, -hx), hx) + hx)
    qx, qy, qz = lx.abs() - hx, ly.abs() - hy * cross, lz.abs() - hz * cross
    ox, oy, oz = qx.clamp(min=0), qy.clamp(min=0), qz.clamp(min=0)
    outside = (ox * ox + oy * oy + oz * oz).sqrt()
    deepest = torch.maximum(torch.maximum(qx, qy), qz)
    distance = outside + deepest.clamp(max=0) - radius * cross
    if not gradient:
        return distance, ()
    inside = deepest <= 0
    scale = 1 / outside.clamp(min=1e-9)
    gx = torch.where(inside, (qx == deepest).to(qx.dtype), ox * scale)
    gy = torch.where(inside, (qy == deepest).to(qx.dtype), oy * scale)
    gz = torch.where(inside, (qz == deepest).to(qx.dtype), oz * scale)
    along = torch.where(qx < 0, slope * (radius + hy * gy + hz * gz), 0.0)
    gx, gy, gz = gx * lx.sign() - along, gy * ly.sign(), gz * lz.sign()
    world = tuple(table[3 + a] * gx + table[6 + a] * gy + table[9 + a] * gz for a in range(3))
    return distance, world


def union_distance(points: Tensor, table: Tensor, smooth: Tensor) -> Tensor:
    """Signed distance [...] (negative inside) to the smooth union of the parts; `smooth` broadcasts to [..., 1]."""
    distance, _ = part_distances(points, table)
    return -(torch.logsumexp(-distance / smooth, -1) * smooth[..., 0])


def union_gradient(points: Tensor, table: Tensor, smooth: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Distance [P] to the smooth union, its gradient [3, P], the parts' distances [P, K], the nearest part's normal."""
    distance, parts = part_distances(points, table, gradient=True)
    scaled = -distance / smooth
    weights = scaled.softmax(-1)
    gradient = torch.stack([(weights * part).sum(-1) for part in parts])
    nearest = weights.argmax(-1, keepdim=True)
    own = torch.stack([part.gather(-1, nearest)[:, 0] for part in parts])
    return -(torch.logsumexp(scaled, -1) * smooth[:, 0]), gradient, distance, own


def bounding_box(rig: CreatureRig, table: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper corners [B, 3] of the sharp union of the parts; the smooth union is slightly larger."""
    lower, upper = [], []
    for end, cross in ((-1.0, torch.ones_like(table[16])), (1.0, table[16])):
        middle = table[0:3] + end * table[3:6] * table[12]
        reach = cross * (table[6:9].abs() * table[13] + table[9:12].abs() * table[14] + table[15])
        lower.append(torch.where(rig.valid, middle - reach, _FAR).amin(-1))
        upper.append(torch.where(rig.valid, middle + reach, -_FAR).amax(-1))
    return torch.minimum(*lower).T, torch.maximum(*upper).T


def adjacency(rig: CreatureRig) -> Tensor:
    """[B, J, J] bool: parts that may share a surface point's weight, a part and its neighbours in the tree."""
    count = rig.parents.shape[1]
    own = torch.eye(count, dtype=torch.bool, device=rig.parents.device)
    child = rig.parents[..., None] == torch.arange(count, device=rig.parents.device)
    flexible = ~rig.rigid[:, None, None] & rig.valid[:, :, None] & rig.valid[:, None, :]
    return own | ((child | child.transpose(1, 2)) & flexible)


def near_parts(table: Tensor, linked: Tensor) -> Tensor:
    """[B, J, NEAR] the parts nearest to each part's surface, nearest first, itself included."""
    _, batch, count = table.shape
    centre, first, half = table[0:3], table[3:6], table[12]
    offsets = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], device=table.device)
    probes = (centre + 0 * first)[..., None] + first[..., None] * half[None, ..., None] * offsets  # [3, B, J, 5]
    flat = probes.permute(0, 1, 2, 3).reshape(3, batch * count * 5)
    every = table[:, :, None].expand(-1, -1, count * 5, -1).reshape(table.shape[0], batch * count * 5, count)
    distance = part_distances(flat, every)[0].view(batch, count, 5, count).amin(2)
    distance = torch.where(linked, distance - _FAR, distance)
    return distance.topk(NEAR, dim=-1, largest=False).indices


def surface_candidates(rig: CreatureRig, table: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Points spread evenly over the surfaces of all parts: positions [3, B, P] and the part of each [B, P].

    `draws` [8, B, P] are uniforms. The surface of a rounded box consists of faces, quarter cylinders and octants of a
    sphere: one class per non-empty subset of the axes along which a point lies beyond the box.
    """
    batch, count = rig.radius.shape
    classes = _CLASSES.to(table.device)
    hx, hy, hz = rig.half.unbind(-1)
    radius, mean = rig.radius, (1 + rig.taper) / 2
    areas = {1: 8 * hy * hz * mean, 2: 8 * hx * hz * mean, 4: 8 * hx * hy * mean}
    areas[6] = 4 * torch.pi * radius * hx * mean
    areas[5] = 4 * torch.pi * radius * hy * mean**2
    areas[3] = 4 * torch.pi * radius * hz * mean**2
    areas[7] = 4 * torch.pi * radius**2 * (1 + rig.taper**2) / 2
    area = torch.stack([areas[c] for c in range(1, 8)], -1) * rig.valid[..., None]
    cumulative = area.flatten(1).cumsum(-1)
    size = draws.shape[-1]
    strata = (torch.arange(size, device=table.device) + draws[0]) / size
    chosen = torch.searchsorted(cumulative, strata * cumulative[:, -1:]).clamp(max=count * 7 - 1)
    part = chosen // 7
    beyond = classes[chosen % 7].permute(2, 0, 1)  # [3, B, P]

    flat = (part + torch.arange(batch, device=table.device)[:, None] * count).flatten()
    own = table.flatten(1).index_select(1, flat).view(-1, batch, size)
    half, radius, taper = own[12:15], own[15], own[16]
    # Along the tapered axis the density follows the cross-section: the inverse of a quadratic distribution.
    along = draws[1] * (1 + taper) / (1 + (1 + (taper**2 - 1) * draws[1]).clamp(min=0).sqrt())
    uniform = torch.stack([2 * along - 1, 2 * draws[2] - 1, 2 * draws[3] - 1])
    # A direction over the sphere, restricted to the axes beyond the box.
    normal = torch.special.ndtri(draws[4:7].clamp(1e-6, 1 - 1e-6)) * beyond
    normal = normal / normal.norm(dim=0).clamp(min=1e-9)
    far_end = torch.where(draws[7] < taper**2 / (1 + taper**2), 1.0, -1.0)
    normal[0] = torch.where(beyond[0], normal[0].abs() * far_end, normal[0])
    core = torch.where(beyond, normal.sign(), uniform)
    cross = 1 + (taper - 1) * (core[0] + 1) / 2
    core = core * half
    core[1:] *= cross
    local = core + normal * radius * cross
    axes = own[3:12].unflatten(0, (3, 3))
    return own[0:3] + (axes * local[:, None]).sum(0), part


@dataclass
class CreatureSamples:
    """Surface points of B clips in frame 0, in the builder's units, with normals and skinning weights."""

    points: Tensor  # [B, N, 3]
    normals: Tensor  # [B, N, 3]
    weights: Tensor  # [B, N, J]
    lower: Tensor  # [B, 3] bounding box of the surface
    upper: Tensor  # [B, 3]


def sample_surface(rig: CreatureRig, table: Tensor, count: int, draws: Tensor) -> CreatureSamples:
    """`count` points spread evenly over the smooth unions; `draws` [9, B, P] are uniforms, P well above `count`."""
    batch, parts = rig.radius.shape
    size = draws.shape[-1]
    linked = adjacency(rig)
    near = near_parts(table, linked)  # [B, J, K]
    rows = torch.arange(batch, device=table.device)[:, None, None]
    near_table = table.flatten(1).index_select(1, (near + rows * parts).flatten()).view(-1, batch * parts, NEAR)
    near_linked = linked[rows[..., None], near[..., None], near[:, :, None]].view(batch * parts * NEAR, NEAR)

    positions, part = surface_candidates(rig, table, draws[:8])
    flat_part = part + torch.arange(batch, device=table.device)[:, None] * parts
    smooth = rig.smooth[:, None].expand(batch, size)
    own = near_table.index_select(1, flat_part.flatten())
    distance, _ = part_distances(positions.reshape(3, -1), own)
    hidden = (distance.amin(-1) < -0.004).view(batch, size)
    order = (draws[8] + 2 * hidden).topk(count, dim=-1, largest=False, sorted=False).indices

    positions = positions.gather(2, order.expand(3, -1, -1)).reshape(3, -1)
    flat_part = flat_part.gather(1, order).flatten()
    smooth = smooth.gather(1, order).reshape(-1, 1)
    own = near_table.index_select(1, flat_part)
    for _ in range(2):
        value, gradient, _, _ = union_gradient(positions, own, smooth)
        positions = positions - gradient * (value / (gradient * gradient).sum(0).clamp(min=0.1))
    _, gradient, distance, own_normal = union_gradient(positions, own, smooth)
    # Where two parts touch face to face their gradients cancel.
    gradient = torch.where(gradient.norm(dim=0) < 0.05, own_normal, gradient)
    normals = gradient / gradient.norm(dim=0).clamp(min=1e-9)

    nearest = distance.argmin(-1)
    shared = near_linked.index_select(0, flat_part * NEAR + nearest)
    weights = blend_weights(distance, own, shared, nearest)
    near_index = near.flatten(0, 1).index_select(0, flat_part).view(batch, count, NEAR)
    dense = weights.new_zeros(batch, count, parts).scatter_(2, near_index, weights.view(batch, count, NEAR))
    points = positions.view(3, batch, count).permute(1, 2, 0)
    lower, upper = bounding_box(rig, table)
    lower, upper = torch.minimum(lower, points.amin(1)), torch.maximum(upper, points.amax(1))
    return CreatureSamples(points, normals.view(3, batch, count).permute(1, 2, 0), dense, lower, upper)


def blend_weights(distance: Tensor, table: Tensor, shared: Tensor, nearest: Tensor) -> Tensor:
    """Skinning weights [P, K]: smooth across a joint over about one limb radius, zero for unrelated parts."""
    width = table[15] + 0.3 * torch.maximum(table[13], table[14])
    width = 0.2 * width.expand(distance.shape).gather(1, nearest[:, None])
    excess = (distance - distance.gather(1, nearest[:, None])) / width.clamp(min=1e-4)
    weights = torch.where(shared, torch.exp(-excess), 0.0)
    return weights / weights.sum(-1, keepdim=True)


def dense_weights(rig: CreatureRig, table: Tensor, points: Tensor) -> Tensor:
    """Skinning weights [V, J] of points [V, 3] of a single rig (B = 1), over all of its parts."""
    distance, _ = part_distances(points.T, table[:, 0][:, None])
    distance = torch.where(rig.valid, distance, _FAR)
    nearest = distance.argmin(-1)
    return blend_weights(distance, table[:, 0][:, None], adjacency(rig)[0][nearest], nearest)
