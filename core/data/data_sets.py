"""Names of the data layouts that `m2v prepare` reads, without their readers, so that `--help` is fast."""

from __future__ import annotations

DATA_SETS = {
    "rigs": "rigged .glb files; DST ending in .safetensors: one rig bank",
    "anime": "DeformingThings4D .anime files",
    "dfaust": "D-FAUST registrations_m.hdf5 and registrations_f.hdf5",
    "shape2motion": "Shape2Motion in CaDeX's layout, <category>/<id>art folders",
    "oflow": "Occupancy Flow / LPDC points, folders with pcl_seq and points_seq",
    "cadex": "CaDeX's DeformingThings4D points, folders with corr and c_occ",
    "meshes": "folders of OBJ or PLY files, one a frame",
    "usd": "USD point caches",
    "npz": "the project's own sequences",
}
