"""Reads the tables of a PLY file, text or binary: a column per property of each element."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
Table = dict[str, "NDArray | list[NDArray]"]  # a column per property; lists of unequal length as a list of arrays


@dataclass
class Property:
    name: str
    kind: str  # numpy type of a value
    count_kind: str = ""  # numpy type of a list's length; empty for a single value


@dataclass
class Element:
    name: str
    count: int
    properties: list[Property]


class DamagedError(ValueError):
    """What is wrong with the file: a part of a sentence."""


def read_tables(data: bytes, notes: list[str]) -> tuple[dict[str, Table], list[Element], list[str]]:
    """{element: table}, the header's declarations, and its comments. Raises DamagedError."""
    form, elements, comments, start = _header(data)
    if form == "ascii":
        return _read_text(elements, data[start:], notes), elements, comments
    return _read_binary(form, elements, data, start), elements, comments


def _header(data: bytes) -> tuple[str, list[Element], list[str], int]:
    """The format, the declared elements, the comments and where the body starts."""
    end = data.find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise DamagedError("its header is missing or cut short")
    line_end = data.find(b"\n", end)
    if line_end < 0:
        line_end = len(data)
    form = ""
    elements: list[Element] = []
    comments: list[str] = []
    for line in data[:end].decode("utf-8", errors="replace").splitlines():
        words = line.split()
        try:
            if words[:1] == ["format"]:
                form = words[1]
            elif words[:1] == ["comment"]:
                comments.append(line.strip().removeprefix("comment").strip())
            elif words[:1] == ["element"]:
                elements.append(Element(words[1], int(words[2]), []))
                if not 0 <= elements[-1].count <= len(data):
                    raise DamagedError(
                        f"it declares {words[2]} of {words[1]}, more than it can hold, so it is cut short"
                    )
            elif words[:2] == ["property", "list"]:
                elements[-1].properties.append(Property(words[4], _TYPES[words[3]], _TYPES[words[2]]))
            elif words[:1] == ["property"]:
                elements[-1].properties.append(Property(words[2], _TYPES[words[1]]))
        except (IndexError, KeyError, ValueError) as error:
            if isinstance(error, DamagedError):
                raise
            raise DamagedError(f"its header has the line {line.strip()[:60]!r}") from error
    if form not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise DamagedError(f"its format {form!r} is unknown")
    return form, elements, comments, line_end + 1


def _read_text(elements: list[Element], body: bytes, notes: list[str]) -> dict[str, Table]:
    """Tables of a text body, one record a line, or number by number where lines and records disagree.

    Extra values on a line, which some programs write for colours, are ignored.
    """
    by_line = _lines_of(elements, body)
    if by_line is not None:
        tables, extra = by_line
        if extra:
            notes.append(f"{extra:,} lines hold more values than the header declares; these are left out.")
        return tables
    try:
        numbers = np.array(body.split(), dtype=np.float64)
    except ValueError as error:
        raise DamagedError("its body holds something that is not a number") from error
    tables = {}
    at = 0
    for element in elements:
        tables[element.name], used = _records(element, numbers[at:])
        at += used
    return tables


def _lines_of(elements: list[Element], body: bytes) -> tuple[dict[str, Table], int] | None:
    """The tables and the number of lines with extra values, if every record has its own line; else None."""
    lines = [line for line in body.replace(b"\r", b"\n").split(b"\n") if line and not line.isspace()]
    if len(lines) < sum(element.count for element in elements if element.properties):
        return None
    tables: dict[str, Table] = {}
    extra = at = 0
    for element in elements:
        if not element.properties:
            tables[element.name] = {}
            continue
        rows = [line.split() for line in lines[at : at + element.count]]
        at += element.count
        try:
            whole = [_needed(element, row) for row in rows]
            extra += sum(len(row) > length for row, length in zip(rows, whole, strict=True))
            words = [word for row, length in zip(rows, whole, strict=True) for word in row[:length]]
            tables[element.name] = _records(element, np.array(words, dtype=np.float64))[0]
        except (IndexError, ValueError, OverflowError):
            return None
    return tables, extra


def _needed(element: Element, row: list[bytes]) -> int:
    """How many words a record takes. Raises IndexError if its line is shorter."""
    at = 0
    for prop in element.properties:
        at += 1 + (int(float(row[at])) if prop.count_kind else 0)
    if at > len(row) or at < len(element.properties):
        raise IndexError("a record continues after its line")
    return at


def _records(element: Element, numbers: NDArray[np.float64]) -> tuple[Table, int]:
    """One element's table from the start of `numbers`, and how many numbers it took."""
    cut = DamagedError(f"it ends within its {element.count} of {element.name}")
    if not any(prop.count_kind for prop in element.properties):
        width = len(element.properties)
        block = numbers[: element.count * width]
        if len(block) < element.count * width:
            raise cut
        columns = block.reshape(element.count, width).T
        return {p.name: columns[row] for row, p in enumerate(element.properties)}, len(block)
    if len(element.properties) == 1 and element.count and len(numbers):  # faces, and usually all alike
        width = 1 + _list_length(numbers[0], len(numbers) - 1, element)
        block = numbers[: element.count * width]
        if len(block) == element.count * width and (block[::width] == width - 1).all():
            return {element.properties[0].name: block.reshape(-1, width)[:, 1:]}, len(block)
    rows: dict[str, list] = {prop.name: [] for prop in element.properties}
    at = 0
    for _ in range(element.count):
        for prop in element.properties:
            if at >= len(numbers):
                raise cut
            if not prop.count_kind:
                rows[prop.name].append(numbers[at])
                at += 1
                continue
            length = _list_length(numbers[at], len(numbers) - at - 1, element)
            rows[prop.name].append(numbers[at + 1 : at + 1 + length])
            at += 1 + length
    return dict(rows), at


def _read_binary(form: str, elements: list[Element], data: bytes, at: int) -> dict[str, Table]:
    order = "<" if form == "binary_little_endian" else ">"
    tables: dict[str, Table] = {}
    for element in elements:
        table, at = _read_records(order, element, data, at)
        tables[element.name] = table
    return tables


def _read_records(order: str, element: Element, data: bytes, at: int) -> tuple[Table, int]:
    """One element's table and where it ends. If all lists are as long as the first record's, it is read at once."""
    cut = DamagedError(f"it ends within its {element.count} of {element.name}")
    if element.count == 0 or not element.properties:
        return {}, at
    fields: list[tuple] = []
    lists = []
    place = at
    for prop in element.properties:
        kind = np.dtype(order + prop.kind)
        if not prop.count_kind:
            fields.append((f"{len(fields)}", kind))
            place += kind.itemsize
            continue
        count_kind = np.dtype(order + prop.count_kind)
        if place + count_kind.itemsize > len(data):
            raise cut
        length = _list_length(np.frombuffer(data, count_kind, 1, place)[0], len(data) - place, element)
        lists.append((f"{len(fields)}", length))
        fields += [(f"{len(fields)}", count_kind), (f"{len(fields) + 1}", kind, (length,))]
        place += count_kind.itemsize + length * kind.itemsize
    record = np.dtype(fields)
    if at + element.count * record.itemsize <= len(data):
        table = np.frombuffer(data, record, element.count, at)
        if all((table[name] == length).all() for name, length in lists):
            values = [field[0] for field in fields if field[0] not in {name for name, _ in lists}]
            columns = {prop.name: table[name] for prop, name in zip(element.properties, values, strict=True)}
            return columns, at + element.count * record.itemsize
    elif not lists:
        raise cut
    rows: dict[str, list] = {prop.name: [] for prop in element.properties}
    for _ in range(element.count):
        for prop in element.properties:
            kind = np.dtype(order + prop.kind)
            length = 1
            if prop.count_kind:
                count_kind = np.dtype(order + prop.count_kind)
                if at + count_kind.itemsize > len(data):
                    raise cut
                length = _list_length(np.frombuffer(data, count_kind, 1, at)[0], len(data) - at, element)
                at += count_kind.itemsize
            if at + length * kind.itemsize > len(data):
                raise cut
            found = np.frombuffer(data, kind, length, at)
            rows[prop.name].append(found if prop.count_kind else found[0])
            at += length * kind.itemsize
    return dict(rows), at


def _list_length(value: float, most: int, element: Element) -> int:
    if not (np.isfinite(value) and 0 <= value <= most and int(value) == value):
        raise DamagedError(f"it ends within its {element.count} of {element.name}")
    return int(value)
