"""What scans say about points of a surface, as estimated handles."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import KDTree

from core.geometry.farthest_points import farthest_point_indices
from core.models.registration import Registration, confidence_of, handles_of
from core.models.warm_start import HandleCondition
from core.pipelines.prepared_mesh import PreparedMesh, SurfaceNodes
from core.pipelines.scan_input import ScanInput
from core.pipelines.scan_registration import SurfaceRegistration

TRACKS = 64  # tracked points that become handles
TRACK_VARIANCE = 1e-5  # of a tracked point's displacement component, with its distance from the surface
FOLLOWED = 128  # nodes of the surface whose way through the scans may become a handle
OFTEN = 0.1  # share of the frames that has to show such a node
DEVIATION = 0.005  # of its displacement component, as the prior is told


def scan_handles(
    mesh: PreparedMesh, registration: SurfaceRegistration, observed: ScanInput
) -> tuple[HandleCondition, SurfaceNodes]:
    """Handles on the surface of frame 0, and the surface's nodes."""
    if observed.tracked:
        return _tracked(mesh, observed)
    surface = mesh.nodes(np.zeros(0, dtype=np.int64))
    scan = observed.motion()
    assert scan is not None and scan.points is not None and scan.present is not None
    nodes = surface.nodes[:, :FOLLOWED]
    moved = registration.at(registration.follow(), nodes[0].cpu().numpy())
    displacements = torch.from_numpy(moved.astype(np.float32)).to(observed.device)[None, 1:]
    confidence = confidence_of(nodes, displacements, scan.points, scan.present)
    return handles_of(nodes, Registration(displacements, confidence), TRACKS, OFTEN, DEVIATION), surface


def _tracked(mesh: PreparedMesh, observed: ScanInput) -> tuple[HandleCondition, SurfaceNodes]:
    device = observed.device
    first = torch.from_numpy(observed.points[0])[None]
    rows = farthest_point_indices(first, min(TRACKS, first.shape[1]))[0].numpy()
    found = KDTree(mesh.source.vertices).query(observed.points[0][rows])
    distance, vertices = np.asarray(found[0]), np.asarray(found[1])
    vertices, unique = np.unique(vertices, return_index=True)
    rows, distance = rows[unique], distance[unique]
    points = np.stack(observed.points)[:, rows]
    tracks = torch.from_numpy(points - points[:1]).to(device)[None]
    present = torch.ones(1, len(rows), dtype=torch.bool, device=device)
    variance = TRACK_VARIANCE + torch.from_numpy((distance**2).astype(np.float32)).to(device)[None] / 3
    handles = HandleCondition(
        mesh.rest[:, torch.from_numpy(vertices).to(device)],
        tracks[:, 1:],
        present[:, None].expand(-1, tracks.shape[1] - 1, -1),
        present,
        variance,
    )
    return handles, mesh.nodes(vertices.astype(np.int64), share=1.0)
