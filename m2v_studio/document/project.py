"""Project files (.m2v): one zip with the mesh, the handles, the settings and the results.

A project still opens when the mesh file it was made from has moved; only scans stay in their own files (see
`scan_project`). It is written to a temporary name and renamed, and its arrays are read without pickle. A damaged one
raises DataError.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from core.atomic import write_atomically
from core.errors import DataError
from core.handle_record import handle_from_record, handle_record
from core.io.material_record import material_from_record, material_record
from core.io.staging import noted
from core.pipelines.request import QUALITIES, Quality, ReconstructionSet, Sample, SampleSet
from core.sequence import HandleTracks, MeshPart, MeshSequence, SourceMesh, Texture, frozen_array
from m2v_studio.document.reference import motion_from, motion_record, reference_from, reference_record
from m2v_studio.document.result_commands import mark_of
from m2v_studio.document.scan_project import (
    STALE,
    mark_from,
    reconstruction_arrays,
    reconstruction_results,
    run_json,
    scans_document,
    scans_json,
)
from m2v_studio.document.state import Document, Results, State, edit_key, is_open, sampling, tracks

FORMAT = "m2v-project"
VERSION = 1
SCANS_VERSION = 2  # of a project of scans, which an older studio cannot read
MAX_JSON_BYTES = 64 << 20
MAX_BYTES = 8 << 30  # of all arrays; beyond 256 MB, 100 times the size of the archive at most
SETTINGS = ("frames", "fps", "seeds", "seed", "quality", "behaviour", "loop", "contacts", "without")
RESULTS = "results.npz"


def save_project(state: State, path: Path) -> None:
    """Write the document and its results; raises DataError when the file cannot be written."""
    if not is_open(state.document):
        raise DataError("There is nothing to save; open a mesh or scans first.")
    groups: dict[str, dict[str, NDArray]] = {}
    if state.document.source is not None:
        groups["source.npz"] = _source_arrays(state.document.source)
    if state.results is not None:
        groups[RESULTS] = _result_arrays(state.results)
    size = sum(array.nbytes for arrays in groups.values() for array in arrays.values())
    if size > MAX_BYTES - MAX_JSON_BYTES:
        raise DataError(
            f"A project holds up to {MAX_BYTES >> 20:,} MB, but this one would take {size >> 20:,} MB; export the "
            "results worth keeping and remove them from the project."
        )

    def write(file: Path) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("project.json", json.dumps(_document_json(state), indent=1))
            for name, arrays in groups.items():
                # Results can be gigabytes: no copy is made, and packing would take a hundred times as long for a tenth.
                entry = zipfile.ZipInfo(name)
                entry.compress_type = zipfile.ZIP_STORED if name == RESULTS else zipfile.ZIP_DEFLATED
                with archive.open(entry, "w", force_zip64=True) as place:
                    np.savez(place, **cast(Any, arrays))

    with noted(path.parent):
        write_atomically(path, write, DataError)


def load_project(path: Path) -> tuple[Document, Results | None]:
    """Read a project; raises DataError that says what is wrong with the file."""
    if not path.exists():
        raise DataError(f"{path} does not exist; check the name.")
    if not path.is_file():
        raise DataError(f"{path} is not a file; give the path of a project.")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
            document_size = archive.getinfo("project.json").file_size
            reasonable = min(MAX_BYTES, max(256 << 20, 100 * path.stat().st_size))
            if unpacked > reasonable or document_size > MAX_JSON_BYTES:
                raise DataError(
                    f"{path} unpacks to {unpacked >> 20:,} MB, more than a project holds; open another file."
                )
            description = json.loads(archive.read("project.json"))
            if description.get("format") != FORMAT:
                raise DataError(f"{path} is a zip file but not an m2v project.")
            if description.get("version") not in (VERSION, SCANS_VERSION):
                raise DataError(
                    f"{path} is of project version {description.get('version')}, but this studio reads versions "
                    f"{VERSION} and {SCANS_VERSION}; open it with the version that wrote it."
                )
            of_scans = description["version"] == SCANS_VERSION
            if of_scans:
                document = scans_document(description, path)
            else:
                document = _document(description, _arrays(archive, "source.npz"))
            results = None
            if RESULTS in archive.namelist():
                read = reconstruction_results if of_scans else _results
                results = read(description, _arrays(archive, RESULTS), document)
            return document, results
    except DataError:
        raise
    except Exception as error:  # whatever zipfile, json, numpy or a value of another kind raises
        raise DataError(f"{path} is damaged or not an m2v project ({_short(error)}); open another file.") from error


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__


def _arrays(archive: zipfile.ZipFile, name: str) -> dict[str, NDArray]:
    with np.load(io.BytesIO(archive.read(name)), allow_pickle=False) as loaded:
        return {key: loaded[key] for key in loaded.files}


# ---- the document -----------------------------------------------------------------------------------------


def _document_json(state: State) -> dict[str, Any]:
    document, source = state.document, state.document.source
    images: list[bytes] = []
    if source is None:
        return {"format": FORMAT, "version": SCANS_VERSION, **scans_json(state)}
    return {
        "format": FORMAT,
        "version": VERSION,
        "source": {
            "name": source.name,
            "up_axis": source.up_axis,
            "path": source.path,
            "notes": list(source.notes),
            "parts": [
                {
                    "name": part.name,
                    "material": None if part.material is None else material_record(part.material, images),
                }
                for part in source.parts
            ],
            "origin": list(source.origin),
            "clips": list(source.clips),
        },
        "handles": [handle_record(handle) for handle in document.handles],
        **{name: getattr(document, name) for name in SETTINGS},
        "reference": reference_record(document.reference),
        "reference_motion": motion_record(document.reference_motion),
        "results": None if state.results is None else _results_json(state),
    }


def _document(description: dict[str, Any], arrays: dict[str, NDArray]) -> Document:
    if description["quality"] not in QUALITIES:
        raise ValueError(f"unknown quality {description['quality']!r}")
    source = _source(description["source"], arrays)
    handles = tuple(handle_from_record(record) for record in description["handles"])
    document = Document(
        source=source,
        handles=handles,
        frames=int(description["frames"]),
        fps=float(description["fps"]),
        seeds=int(description["seeds"]),
        seed=int(description["seed"]),
        quality=cast(Quality, description["quality"]),
        behaviour=str(description.get("behaviour", "")),
        loop=bool(description.get("loop", False)),
        contacts=bool(description.get("contacts", True)),
        without=tuple(str(name) for name in description.get("without", ())),
        reference=reference_from(description.get("reference")),
        reference_motion=motion_from(description.get("reference_motion")),
    )
    sampling(document).validate()
    tracks(document).validate(source.vertices)
    if any(not 0 <= handle.vertex < len(source.vertices) for handle in handles):
        raise ValueError("a handle refers to a vertex that the mesh does not have")
    return document


def _source_arrays(source: SourceMesh) -> dict[str, NDArray]:
    arrays: dict[str, NDArray] = {
        "vertices": source.vertices,
        "faces": source.faces,
        "file_to_vertex": source.file_to_vertex,
    }
    if source.uv is not None:
        arrays["uv"] = source.uv
    arrays |= {name: values for name, values in (("uv1", source.uv1), ("colors", source.colors)) if values is not None}
    images: list[bytes] = []  # in the order of the document's records
    for index, part in enumerate(source.parts):
        arrays[f"part{index}"] = part.faces
        if part.corner_uv is not None:
            arrays[f"corner_uv{index}"] = part.corner_uv
        if part.material is not None:
            material_record(part.material, images)
    return arrays | {f"picture{number}": np.frombuffer(data, np.uint8) for number, data in enumerate(images)}


def _source(raw: dict[str, Any], arrays: dict[str, NDArray]) -> SourceMesh:
    vertices = frozen_array(arrays["vertices"], np.float32, (None, 3), "vertices")
    faces = frozen_array(arrays["faces"], np.int32, (None, 3), "faces")
    mapping = frozen_array(arrays["file_to_vertex"], np.int32, (None,), "file_to_vertex")
    if not len(vertices) or not len(faces) or not np.isfinite(vertices).all():
        raise ValueError("the mesh is empty or not finite")
    if any(index.size and not 0 <= index.min() <= index.max() < len(vertices) for index in (faces, mapping)):
        raise ValueError("the mesh refers to vertices that do not exist")
    count = sum(name.startswith("picture") for name in arrays)
    images = [arrays[f"picture{number}"].astype(np.uint8).tobytes() for number in range(count)]
    parts = []
    for index, part in enumerate(raw["parts"]):
        members = frozen_array(arrays[f"part{index}"], np.int32, (None, 3), "part")
        if members.size and not 0 <= members.min() <= members.max() < len(mapping):
            raise ValueError("a part refers to vertices that do not exist")
        material = None
        if part["material"] is not None:
            material = material_from_record(part["material"], images)
            old = arrays.get(f"texture{index}")  # a project from before images were kept by channel
            if old is not None:
                material = replace(material, base_color_texture=Texture(old.astype(np.uint8).tobytes()))
        corner_uv = arrays.get(f"corner_uv{index}")
        if corner_uv is not None:
            corner_uv = frozen_array(corner_uv, np.float32, (len(members), 3, 2), "corner_uv")
        parts.append(MeshPart(str(part["name"]), members, material, corner_uv))
    of_vertices = lambda name, width: (  # noqa: E731
        frozen_array(arrays[name], np.float32, (len(mapping), width), name) if name in arrays else None
    )
    x, y, z = (float(value) for value in raw.get("origin", (0.0, 0.0, 0.0)))
    if not np.isfinite([x, y, z]).all():
        raise ValueError("the mesh's origin is not finite")
    return SourceMesh(
        name=str(raw["name"]),
        vertices=vertices,
        faces=faces,
        file_to_vertex=mapping,
        parts=tuple(parts),
        uv=of_vertices("uv", 2),
        uv1=of_vertices("uv1", 2),
        colors=of_vertices("colors", 4),
        origin=(x, y, z),
        up_axis=str(raw["up_axis"]),
        path=str(raw["path"]),
        notes=tuple(str(note) for note in raw["notes"]),
        clips=tuple(str(clip) for clip in raw.get("clips", ())),
    )


# ---- the results ------------------------------------------------------------------------------------------


def _results_json(state: State) -> dict[str, Any]:
    results = state.results
    assert results is not None and isinstance(results.samples, SampleSet)
    samples = results.samples
    return {
        **run_json(state, results),
        "fps": samples.samples[0].sequence.fps if samples.samples else state.document.fps,
        "samples": [
            {
                "seed": sample.seed,
                "handle_error": sample.handle_error,
                "soft_handle_error": sample.soft_handle_error,
                "difference": sample.difference,
                "source": sample.source,
                "stretch": sample.stretch,
                "fps": sample.sequence.fps,
                **asdict(mark_of(results, row)),
            }
            for row, sample in enumerate(samples.samples)
        ],
    }


def _result_arrays(results: Results) -> dict[str, NDArray]:
    if isinstance(results.samples, ReconstructionSet):
        return reconstruction_arrays(results)
    arrays: dict[str, NDArray] = {"disagreement": results.samples.disagreement}
    for index, sample in enumerate(results.samples.samples):
        arrays[f"sample{index}"] = sample.sequence.vertices
    return arrays


def _results(description: dict[str, Any], arrays: dict[str, NDArray], document: Document) -> Results | None:
    raw = description["results"]
    source = document.source
    if raw is None or source is None:
        return None
    handles: HandleTracks | None = None if raw["stale"] else tracks(document)
    samples, marks = [], []
    for index, entry in enumerate(raw["samples"]):
        vertices = arrays[f"sample{index}"]
        if vertices.ndim != 3 or vertices.shape[1:] != source.vertices.shape:
            raise ValueError("a result does not fit the mesh")
        mark = mark_from(entry)
        marks.append(mark)
        sequence = MeshSequence(
            vertices=vertices,
            faces=source.faces,
            fps=float(entry.get("fps", raw["fps"])),
            handles=None if mark.older else handles,
            name=source.name,
        )
        handle, soft, difference = (float(entry[name]) for name in ("handle_error", "soft_handle_error", "difference"))
        borrowed = str(entry.get("source", ""))[:200], float(entry.get("stretch", 0.0))
        samples.append(Sample(int(entry["seed"]), sequence, handle, soft, difference, *borrowed))
    sample_set = SampleSet(
        samples=tuple(samples),
        disagreement=arrays["disagreement"].astype(np.float32),
        seconds=float(raw["seconds"]),
        preset=str(raw["preset"]),
        device=str(raw["device"]),
    )
    if not samples or raw["quality"] not in QUALITIES:
        raise ValueError("the results are incomplete")
    key = STALE if raw["stale"] else edit_key(document)
    return Results(sample_set, key, cast(Quality, raw["quality"]), marks=tuple(marks))
