"""A mesh's appearance for rendering: a colour per vertex or face, or one image for all parts.

Images of several materials, with their repeats, are packed into one. Opacity is a number per face, from material and
image together; metal or gloss is one setting for the whole mesh; normal maps are ignored.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.sequence import Material, MeshPart, SourceMesh, Texture

DISPLAYED = (".obj", ".ply", ".off", ".stl")  # their colours are sRGB, not linear
LARGEST = 4096  # pixels along a side of the packed image
SIDES = (2048, 1024, 512, 256, 128)  # pixels of one part's image: the first that fits
MAX_PIXELS = 1 << 26
MAX_REPEATS = 4  # of an image along u or v within one face
SPREAD = 6  # points along a side of a face at which its image's alpha is sampled;
MANY_FACES = 20_000  # two on meshes with so many faces, which are small
EDGE = 2  # pixels around each image, so that its neighbours do not bleed into it
Finish = Literal["plain", "glossy", "metal"]
FINISHES: tuple[Finish, ...] = get_args(Finish)
METAL, GLOSS = 0.5, 0.35  # least glTF metallic factor, and greatest roughness
GREY = (0.8, 0.8, 0.8, 1.0)


@dataclass(frozen=True, eq=False)
class Appearance:
    """The sRGB colours, from 0 to 1, of a SourceMesh: by face, by vertex, or as an image.

    `image` [H, W, 3] uint8 has its first row at the top; `corner_uv` [3 F, 2] has its origin at the bottom left.
    """

    face_colors: NDArray[np.float32] | None = None  # [F, 3]
    vertex_colors: NDArray[np.float32] | None = None  # [V, 3]
    image: NDArray[np.uint8] | None = None
    corner_uv: NDArray[np.float32] | None = None
    opacity: NDArray[np.float32] | None = None  # [F]; None: opaque
    finish: Finish = "plain"  # of most of the surface


def appearance(source: SourceMesh) -> Appearance | None:
    """The mesh's own appearance; None where its file has no colour or material."""
    parts = [part for part in source.parts if len(part.faces)]
    if not parts or (source.colors is None and all(part.material is None for part in parts)):
        return None
    kept = _kept_faces(source, parts)
    if kept is None:
        return None
    sheet = _Sheet(source, parts) if source.uv is not None or source.uv1 is not None else None
    looks = _colored(source, parts, kept, sheet)
    return replace(looks, opacity=_opacity(source, parts, kept, sheet), finish=_finish(source))


def _colored(
    source: SourceMesh, parts: Sequence[MeshPart], kept: NDArray[np.int64], sheet: _Sheet | None
) -> Appearance:
    if sheet is not None and sheet.has_images:
        image, corners = sheet.laid_out()
        return Appearance(image=image, corner_uv=corners[kept].reshape(-1, 2))
    if source.colors is not None and float(source.colors[:, :3].min()) < 0.999:
        return _vertex_colors(source, parts, kept)
    colors = np.concatenate([np.tile(_base(part, source), (len(part.faces), 1)) for part in parts])
    return Appearance(face_colors=colors[kept].astype(np.float32))


def _opacity(
    source: SourceMesh, parts: Sequence[MeshPart], kept: NDArray[np.int64], sheet: _Sheet | None
) -> NDArray[np.float32] | None:
    """Opacity [F]; None if all faces are opaque.

    It is the mean over the face of the alpha of material, image and corner colours, and for cut-out materials the
    fraction of the face that remains.
    """
    of_parts = []
    for row, part in enumerate(parts):
        material = part.material or Material()
        alpha = np.ones((len(part.faces), 1))
        if material.alpha_mode != "OPAQUE":
            alpha = np.clip(alpha * material.base_color[3], 0.0, 1.0)
            if source.colors is not None and source.colors.shape[1] == 4:
                alpha = alpha * source.colors[:, 3][part.faces].astype(np.float64).mean(axis=1, keepdims=True)
            image_alpha = None if sheet is None else sheet.alpha(row)
            alpha = alpha if image_alpha is None else alpha * image_alpha
        kind, cutoff = material.alpha_mode, material.alpha_cutoff
        of_parts.append((alpha >= cutoff if kind == "MASK" else alpha).mean(axis=1).astype(np.float32))
    opacity = np.concatenate(of_parts)[kept]
    return opacity if float(opacity.min(initial=1.0)) < 1.0 else None


def _finish(source: SourceMesh) -> Finish:
    """The finish of most faces."""
    counts = dict.fromkeys(FINISHES, 0)
    for part in source.parts:
        material = part.material or Material()
        plain = material.metallic_roughness_texture is not None or material.unlit  # factors alone say nothing then
        metal, gloss = material.metallic >= METAL, material.roughness <= GLOSS
        counts["plain" if plain else "metal" if metal else "glossy" if gloss else "plain"] += len(part.faces)
    return max(FINISHES, key=lambda finish: counts[finish])


def displayed(linear: ArrayLike) -> NDArray[np.float64]:
    """Linear values from 0 to 1 as sRGB."""
    values = np.clip(np.asarray(linear, dtype=np.float64), 0.0, 1.0)
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)


def linear(shown: ArrayLike) -> NDArray[np.float64]:
    """The inverse of `displayed`."""
    values = np.asarray(shown, dtype=np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _kept_faces(source: SourceMesh, parts: Sequence[MeshPart]) -> NDArray[np.int64] | None:
    """[F] the place of each surface face among the parts' faces, since welding drops those without area."""
    every = source.file_to_vertex[np.concatenate([part.faces for part in parts])]
    if every.shape == source.faces.shape:
        return np.arange(len(every)) if (every == source.faces).all() else None
    kept, at = [], 0
    for number, face in enumerate(every.tolist()):
        if at < len(source.faces) and face == source.faces[at].tolist():
            kept.append(number)
            at += 1
    return np.array(kept) if at == len(source.faces) else None


def _shown(colors: ArrayLike, source: SourceMesh) -> NDArray[np.float64]:
    return np.asarray(colors, dtype=np.float64) if Path(source.path).suffix.lower() in DISPLAYED else displayed(colors)


def _base(part: MeshPart, source: SourceMesh) -> NDArray[np.float64]:
    """[3] the colour of a part's material."""
    return _shown((GREY if part.material is None else part.material.base_color)[:3], source)


def _vertex_colors(source: SourceMesh, parts: Sequence[MeshPart], kept: NDArray[np.int64]) -> Appearance:
    """Colours by face if each face has one, which keeps borders sharp; else by vertex, the mean of its copies."""
    assert source.colors is not None
    factor = np.ones((len(source.colors), 3))
    for part in parts:
        factor[part.faces] = (part.material or Material(base_color=(1.0, 1.0, 1.0, 1.0))).base_color[:3]
    colors = _shown(source.colors[:, :3] * factor, source)
    corners = colors[np.concatenate([part.faces for part in parts])][kept]
    if np.ptp(corners, axis=1).max() < 0.01:
        return Appearance(face_colors=corners.mean(axis=1).astype(np.float32))
    count = np.bincount(source.file_to_vertex, minlength=len(source.vertices)).clip(1)
    sums = [np.bincount(source.file_to_vertex, colors[:, k], len(source.vertices)) for k in range(3)]
    return Appearance(vertex_colors=(np.stack(sums, axis=1) / count[:, None]).astype(np.float32))


class _Sheet:
    """Packs the images of all parts into one, each once per tint and number of repeats."""

    def __init__(self, source: SourceMesh, parts: Sequence[MeshPart]) -> None:
        self._source = source
        self._uv: list[NDArray[np.float64]] = []  # [F_part, 3, 2] in repeats of the part's tile
        self._tile: list[int] = []  # of each part
        self._tiles: list[tuple[NDArray[np.uint8], tuple[int, int]]] = []  # an image and its repeats across and down
        self._known: dict[object, int] = {}
        self._decoded: dict[bytes, NDArray[np.uint8] | None] = {}
        self._alpha: list[NDArray[np.float64] | None] = []  # of each part, see `alpha`
        self.has_images = False
        for part in parts:
            self._add(part)

    def _add(self, part: MeshPart) -> None:
        texture = None if part.material is None else part.material.base_color_texture
        uv = None if texture is None else self._part_uv(part, texture)
        image = None if texture is None or uv is None else self._decoded_image(texture)
        tint = _base(part, self._source)
        if texture is None or uv is None or image is None:
            self._alpha.append(None)
            self._place(np.rint(255 * tint).astype(np.uint8).reshape(1, 1, 3), np.full((len(part.faces), 3, 2), 0.5))
            return
        self.has_images = True
        for axis in (0, 1):
            if texture.wrap[axis] == "clamp":
                uv[..., axis] = uv[..., axis].clip(0.0, 1.0)
            else:
                period = 2.0 if texture.wrap[axis] == "mirror" else 1.0
                uv[..., axis] -= period * np.floor((uv[..., axis].min(axis=1, keepdims=True) + 1e-6) / period)
        see_through = part.material is not None and part.material.alpha_mode != "OPAQUE" and image[..., 3].min() < 255
        self._alpha.append(_sampled(image[..., 3], uv, texture.wrap) if see_through else None)
        across, down = (int(np.ceil(uv[..., axis].max() - 1e-6)) for axis in (0, 1))
        repeats = (min(max(across, 1), MAX_REPEATS), min(max(down, 1), MAX_REPEATS))
        key = (texture.data, texture.wrap, tint.tobytes(), repeats)
        if key not in self._known:
            tinted = np.rint(image[..., :3] * tint).astype(np.uint8)
            self._known[key] = len(self._tiles)
            self._tiles.append((_repeated(tinted, texture.wrap, repeats), repeats))
        self._tile.append(self._known[key])
        self._uv.append(uv / np.array(repeats))

    def _place(self, image: NDArray[np.uint8], uv: NDArray[np.float64]) -> None:
        self._tile.append(len(self._tiles))
        self._tiles.append((image, (1, 1)))
        self._uv.append(uv)

    def _part_uv(self, part: MeshPart, texture: Texture) -> NDArray[np.float64] | None:
        if texture.uv_set == 0 and part.corner_uv is not None:
            return part.corner_uv.astype(np.float64)
        uv = (self._source.uv, self._source.uv1)[texture.uv_set]
        return None if uv is None else uv[part.faces].astype(np.float64)

    def _decoded_image(self, texture: Texture) -> NDArray[np.uint8] | None:
        """[H, W, 4]; None where it cannot be read here (KTX2, a damaged file)."""
        if texture.data not in self._decoded:
            from PIL import Image

            try:
                with Image.open(io.BytesIO(texture.data)) as image:
                    if image.width * image.height > MAX_PIXELS:
                        raise ValueError("too large")
                    image.thumbnail((SIDES[0], SIDES[0]))
                    self._decoded[texture.data] = np.asarray(image.convert("RGBA"))
            except Exception:  # whatever a damaged image makes the decoder raise: shown without it, kept for export
                self._decoded[texture.data] = None
        return self._decoded[texture.data]

    def alpha(self, row: int) -> NDArray[np.float64] | None:
        """[F_part, S] the alpha of a part's image at points spread over each face; None where it is opaque."""
        return self._alpha[row]

    def laid_out(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The image of all parts, and texture coordinates [F, 3, 2] on it."""
        for side in SIDES:
            images = [_reduced(image, side) for image, _ in self._tiles]
            places, (height, width) = _shelves([image.shape[:2] for image in images])
            if height <= LARGEST:
                break
        sheet = np.zeros((height, width, 3), dtype=np.uint8)
        for image, (top, left) in zip(images, places, strict=True):
            framed = np.pad(image, ((EDGE, EDGE), (EDGE, EDGE), (0, 0)), mode="edge")
            rows, columns = min(framed.shape[0], height - top), min(framed.shape[1], width - left)
            sheet[top : top + rows, left : left + columns] = framed[:rows, :columns]
        corners = []
        for uv, tile in zip(self._uv, self._tile, strict=True):
            (rows, columns), (top, left) = images[tile].shape[:2], places[tile]
            across = (left + EDGE + uv[..., 0] * columns) / width
            down = (top + EDGE + (1 - uv[..., 1]) * rows) / height
            corners.append(np.stack([across, 1 - down], axis=-1))
        return sheet, np.concatenate(corners).astype(np.float32)


def _sampled(channel: NDArray[np.uint8], uv: NDArray[np.float64], wrap: tuple[str, str]) -> NDArray[np.float64]:
    """[F, S] a channel [H, W] from 0 to 1 at points spread evenly over faces with these corners [F, 3, 2]."""
    side = SPREAD if len(uv) <= MANY_FACES else 2
    steps = [(a, b) for a in range(side) for b in range(side - a)]
    shares = np.array([(a + 1 / 3, b + 1 / 3, side - 2 / 3 - a - b) for a, b in steps]) / side
    points = np.einsum("sc,fcd->fsd", shares, uv)
    for axis, kind in enumerate(wrap):
        if kind == "mirror":
            points[..., axis] = 1 - np.abs(points[..., axis] % 2 - 1)
        elif kind != "clamp":
            points[..., axis] %= 1.0
    height, width = channel.shape
    column = (points[..., 0] * width).astype(np.int64).clip(0, width - 1)
    row = ((1 - points[..., 1]) * height).astype(np.int64).clip(0, height - 1)
    return channel[row, column] / 255


def _repeated(image: NDArray[np.uint8], wrap: tuple[str, str], repeats: tuple[int, int]) -> NDArray[np.uint8]:
    """The image repeated to the right and upwards; every second copy is mirrored if `wrap` says so."""
    for axis, kind, count in ((1, wrap[0], repeats[0]), (0, wrap[1], repeats[1])):
        if count > 1:
            turned = np.flip(image, axis=axis)
            row = [turned if kind == "mirror" and number % 2 else image for number in range(count)]
            image = np.concatenate(row if axis == 1 else row[::-1], axis=axis)
    return image


def _reduced(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    if max(image.shape[:2]) <= side:
        return image
    from PIL import Image

    small = Image.fromarray(image)
    small.thumbnail((side, side))
    return np.asarray(small)


def _shelves(sizes: Sequence[tuple[int, ...]]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """(top, left) of each image with its margin, packed in rows by falling height, and the total size."""
    places: list[tuple[int, int]] = [(0, 0)] * len(sizes)
    total = sum((height + 2 * EDGE) * (width + 2 * EDGE) for height, width in sizes)
    widest = max(width for _, width in sizes) + 2 * EDGE
    limit = min(max(widest, int(np.sqrt(total) * 1.1)), max(LARGEST, widest))
    top = left = shelf = right = 0
    for number in sorted(range(len(sizes)), key=lambda row: -sizes[row][0]):
        height, width = sizes[number][0] + 2 * EDGE, sizes[number][1] + 2 * EDGE
        if left + width > limit:
            top, left, shelf = top + shelf, 0, 0
        places[number] = (top, left)
        left, shelf = left + width, max(shelf, height)
        right = max(right, left)
    return places, (top + shelf, right)
