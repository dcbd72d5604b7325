"""Tables as published in the Motion2VecSets paper, shown for orientation, not as baselines.

CD and Corr are in the paper's units, ten times fractions of frame 0's longest side.
"""

from __future__ import annotations

Row = tuple[str, str, tuple[float, ...], tuple[float, ...]]  # data, method, unseen motion, unseen individual

WHY_NOT_COMPARABLE = (
    "The paper's numbers are not comparable with ours: they were measured on other shapes and motions (D-FAUST bodies, "
    "DeformingThings4D animals, Shape2Motion objects; licensed and not here), by networks of another size that were "
    "trained for tens of hours on two H200. Ours are measured on procedural creatures and CC0 rigs."
)
COLUMNS = ("IoU", "CD", "Corr")
_NONE: tuple[float, ...] = ()

# {protocol: (table, rows)}
TABLES: dict[str, tuple[str, tuple[Row, ...]]] = {
    "sparse-points": (
        "Table 2, sparse and noisy points",
        (
            ("DT4D-A", "OFlow", (70.6, 0.104, 0.204), (57.3, 0.175, 0.285)),
            ("DT4D-A", "LPDC", (72.4, 0.085, 0.162), (59.4, 0.149, 0.262)),
            ("DT4D-A", "CaDeX", (80.3, 0.061, 0.133), (64.7, 0.127, 0.239)),
            ("DT4D-A", "Motion2VecSets", (88.9, 0.050, 0.061), (83.7, 0.058, 0.074)),
            ("D-FAUST", "OFlow", (81.5, 0.065, 0.094), (72.3, 0.084, 0.117)),
            ("D-FAUST", "LPDC", (84.9, 0.055, 0.080), (76.2, 0.071, 0.098)),
            ("D-FAUST", "CaDeX", (89.1, 0.039, 0.070), (80.7, 0.055, 0.087)),
            ("D-FAUST", "Motion2VecSets", (90.7, 0.033, 0.047), (83.7, 0.045, 0.064)),
            ("S2M", "OFlow", _NONE, (53.2, 0.223, 0.204)),
            ("S2M", "LPDC", _NONE, (56.7, 0.173, 0.163)),
            ("S2M", "CaDeX", _NONE, (58.9, 0.118, 0.160)),
            ("S2M", "Motion2VecSets", _NONE, (75.9, 0.070, 0.095)),
        ),
    ),
    "depth-scans": (
        "Table 3, monocular noisy depth scans",
        (
            ("DT4D-A", "OFlow", (64.2, 0.305, 0.423), (55.1, 0.408, 0.538)),
            ("DT4D-A", "LPDC", (62.2, 0.339, 0.427), (51.6, 0.467, 0.488)),
            ("DT4D-A", "CaDeX", (70.8, 0.254, 0.499), (59.2, 0.379, 0.498)),
            ("DT4D-A", "Motion2VecSets", (73.3, 0.177, 0.404), (66.3, 0.193, 0.438)),
            ("D-FAUST", "OFlow", (76.9, 0.084, 0.165), (66.4, 0.109, 0.194)),
            ("D-FAUST", "LPDC", (68.3, 0.138, 0.167), (59.6, 0.156, 0.204)),
            ("D-FAUST", "CaDeX", (80.7, 0.074, 0.123), (70.4, 0.096, 0.157)),
            ("D-FAUST", "Motion2VecSets", (83.8, 0.054, 0.111), (74.4, 0.075, 0.140)),
            ("S2M", "OFlow", _NONE, (53.6, 0.232, 0.228)),
            ("S2M", "LPDC", _NONE, (54.5, 0.217, 0.196)),
            ("S2M", "CaDeX", _NONE, (56.3, 0.145, 0.186)),
            ("S2M", "Motion2VecSets", _NONE, (63.6, 0.128, 0.175)),
        ),
    ),
    "voxels": (
        "Table 4, voxel grids of 32^3",
        (
            ("DT4D-A", "OFlow", (68.4, 0.237, 0.385), (58.6, 0.311, 0.412)),
            ("DT4D-A", "LPDC", (69.3, 0.231, 0.311), (59.2, 0.321, 0.343)),
            ("DT4D-A", "CaDeX", (77.1, 0.152, 0.269), (65.8, 0.228, 0.331)),
            ("DT4D-A", "Motion2VecSets", (84.3, 0.066, 0.126), (75.6, 0.088, 0.187)),
        ),
    ),
    "images": (
        "Table 5, image sequences",
        (
            ("D-FAUST", "OFlow", (51.5, 0.284, 0.319), (31.0, 0.431, 0.442)),
            ("D-FAUST", "LPDC", (52.3, 0.255, 0.282), (35.2, 0.371, 0.397)),
            ("D-FAUST", "CaDeX", (53.8, 0.229, 0.284), (38.7, 0.288, 0.352)),
            ("D-FAUST", "Motion2VecSets", (69.9, 0.119, 0.206), (51.6, 0.189, 0.299)),
        ),
    ),
    "ablations": (
        "Table 6, depth scans of D-FAUST",
        (
            ("D-FAUST", "without diffusion", (71.1, 0.097, 0.173), (64.2, 0.107, 0.194)),
            ("D-FAUST", "M = 1", (68.5, 0.120, 0.301), (57.7, 0.149, 0.327)),
            ("D-FAUST", "C_d = 8", (78.9, 0.078, 0.180), (68.0, 0.105, 0.225)),
            ("D-FAUST", "C_d = 16", (78.0, 0.080, 0.189), (66.8, 0.109, 0.254)),
            ("D-FAUST", "without time attention", (81.2, 0.061, 0.127), (70.8, 0.086, 0.158)),
            ("D-FAUST", "full (M = 512, C_d = 32)", (83.8, 0.054, 0.111), (74.4, 0.075, 0.140)),
        ),
    ),
    "bench": ("Table 9, one sequence of 17 frames on one GPU", ()),
}
# Table 9: seconds, GPU memory in GB, millions of parameters.
RUNTIME = (
    ("OFlow", 1.800, 0.265, 1.2),
    ("LPDC", 1.769, 0.453, 8.5),
    ("CaDeX", 4.357, 5.814, 2.1),
    ("Motion2VecSets", 9.479, 4.358, 5.3),
)
