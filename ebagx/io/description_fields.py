"""Fields that the descriptions of all models have, checked."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple, cast

from ebagx.io.versioned_folder import patiently


class FileRecord(NamedTuple):
    """Size and checksum of a file."""

    size: int
    sha256: str


def read_json(path: Path) -> Any:
    """Return the content of a file, or raise ValueError that names it."""
    try:
        return json.loads(patiently(path.read_bytes))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged or incomplete: {error}") from error


def is_integer(value: object, low: int, high: int) -> bool:
    """Return whether a value is an integer in a range, and no bool."""
    return type(value) is int and low <= value <= high


def checked_integer(values: dict[str, Any], name: str, low: int, high: int, path: Path) -> int:
    """Return an integer of a range, or raise ValueError."""
    value = values.get(name)
    if not is_integer(value, low, high):
        raise ValueError(f"{path}: {name} is {value!r:.20}, not an integer from {low} to {high}")
    return cast(int, value)


def checked_files(
    files: object, allowed: Collection[Collection[str]], path: Path
) -> dict[str, FileRecord]:
    """Return the records of files whose names are one of the sets allowed, or raise ValueError."""
    if not isinstance(files, dict) or set(files) not in map(set, allowed):
        raise ValueError(f"{path}: files does not consist of {', '.join(next(iter(allowed)))}")
    records = {}
    for name, record in files.items():
        if not isinstance(record, dict) or set(record) != {"bytes", "sha256"}:
            raise ValueError(f"{path}: {name} does not have bytes and sha256")
        size = checked_integer(record, "bytes", 0, 2**63 - 1, path)
        records[name] = FileRecord(size, str(record["sha256"]))
    return records


def as_fields(records: dict[str, FileRecord]) -> dict[str, dict[str, Any]]:
    """Return what `checked_files` takes."""
    return {name: {"bytes": size, "sha256": sha256} for name, (size, sha256) in records.items()}
