"""Sums over the edges of a graph, for as-rigid-as-possible deformation (Sorkine and Alexa 2007).

Graphs have `P` nodes, symmetric weights and the nodes' degrees; frames are columns.
"""

from __future__ import annotations

from torch import Tensor

from core.shapes import Float


def edge_covariances(
    moved: Float[Tensor, "B P T 3"],
    rest: Float[Tensor, "B P 3"],
    near_rest: Float[Tensor, "B P 3"],
    weight: Float[Tensor, "B P P"],
    degree: Float[Tensor, "B P"],
) -> Float[Tensor, "B P T 3 3"]:
    """Weighted covariances of each node's edges, moved against rest; `near_rest` is `weight @ rest`."""
    still = rest[:, :, None]
    pairs = (moved[..., :, None] * still[..., None, :]).flatten(-2)
    return (
        (degree[:, :, None, None] * pairs + _spread(weight, pairs)).unflatten(-1, (3, 3))
        - moved[..., :, None] * near_rest[:, :, None, None, :]
        - _spread(weight, moved)[..., :, None] * still[..., None, :]
    )


def turned_edges(
    rotation: Float[Tensor, "B P T 3 3"],
    rest: Float[Tensor, "B P 3"],
    near_rest: Float[Tensor, "B P 3"],
    weight: Float[Tensor, "B P P"],
    degree: Float[Tensor, "B P"],
) -> Float[Tensor, "B P T 3"]:
    """Right side of the Poisson solve: each node's edges, turned by the mean of both ends' rotations, summed up."""
    turned = turn(rotation, rest)
    mixed = _spread(weight, rotation.flatten(-2)).unflatten(-1, (3, 3))
    theirs = turn(mixed, rest) - _spread(weight, turned)
    return 0.5 * (degree[:, :, None, None] * turned - turn(rotation, near_rest) + theirs)


def _spread(weight: Tensor, x: Tensor) -> Tensor:
    """Weighted sums [B, P, T, ...] over the nodes of the graph."""
    return (weight @ x.flatten(2)).unflatten(2, (x.shape[2], -1))


def turn(rotation: Float[Tensor, "B P T 3 3"], vectors: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P T 3"]:
    """Each node's vector turned in every frame."""
    return (rotation * vectors[:, :, None, None, :]).sum(dim=-1)
