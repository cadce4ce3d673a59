"""Write a file that appears, or replaces an old one, only when it is complete."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ebagx.io.versioned_folder import flush_file, naming


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file beside `path`, which gets this name if the block does not raise.

    Raises
    ------
    OSError
        If the system refuses to write; its text names a file. An old file stays.
    ValueError
        If `path` is a folder.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a directory")
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with naming(new), new.open("xb") as file:
            yield file
            flush_file(file)
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
