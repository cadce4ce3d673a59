"""Put GCC's OpenMP library into a wheel under its own name, then let auditwheel repair the wheel.

    python tools/repair_wheel.py dist/ebagx-*.whl wheelhouse

auditwheel would give the library another name, and so make a second OpenMP runtime of it: PyTorch
has one, too, and the threads of both keep each other from the processors. Under the name
``libgomp.so.1`` the system loads one library for all, the one that is needed first.

At last zopfli compresses all files again: that takes half a minute and saves 3 % of the wheel.
Linux with glibc; needs auditwheel, patchelf and zopfli.
"""

import argparse
import base64
import csv
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

LIBRARY = "libgomp.so.1"
HOME = Path("ebagx/_kernels")
# PyTorch's copy, which may be loaded in place of this one, has the symbols of GCC 9.
NEWEST = (4, 5)
SYMBOL = re.compile(rb"GOMP_(\d+)\.(\d+)(?:\.(\d+))?\0")


def needs_library(module: Path) -> bool:
    """Return whether a compiled module needs the OpenMP library."""
    needed = subprocess.check_output(["patchelf", "--print-needed", module], text=True)
    return LIBRARY in needed.split()


def find_library() -> Path:
    """Return the path of the compiler's OpenMP library."""
    command = [*os.environ.get("CC", "gcc").split(), f"-print-file-name={LIBRARY}"]
    return Path(subprocess.check_output(command, text=True).strip()).resolve(strict=True)


def newest_symbol(module: bytes) -> tuple[int, int]:
    """Return the newest version of libgomp's symbols that a module names."""
    found = [(int(major), int(minor)) for major, minor, _ in SYMBOL.findall(module)]
    return max(found, default=(0, 0))


def path_to_library(module: Path, root: Path) -> str:
    """Return the folder of the library as a module names it."""
    relative = Path(os.path.relpath(root / HOME, module.parent)).as_posix()
    return "$ORIGIN" if relative == "." else f"$ORIGIN/{relative}"


def add_library(root: Path) -> None:
    """Copy the library into an unpacked wheel, and let the modules find it there."""
    modules = [path for path in sorted((root / "ebagx").rglob("*.so")) if needs_library(path)]
    if not modules:
        raise SystemExit(f"no module needs {LIBRARY}: was the wheel built with OpenMP?")
    for module in modules:
        if (newest := newest_symbol(module.read_bytes())) > NEWEST:
            raise SystemExit(f"{module.name} needs GOMP_{newest[0]}.{newest[1]} of {LIBRARY}")
        subprocess.run(
            ["patchelf", "--set-rpath", path_to_library(module, root), module], check=True
        )
    shutil.copy(find_library(), root / HOME / LIBRARY)


def write_record(root: Path) -> None:
    """Write the list of the files of an unpacked wheel, with their hashes."""
    (record,) = root.glob("*.dist-info/RECORD")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for path in sorted(root.rglob("*")):
        if path.is_file() and path != record:
            digest = hashlib.sha256(path.read_bytes()).digest()
            code = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            size = path.stat().st_size
            rows.writerow([path.relative_to(root).as_posix(), f"sha256={code}", size])
    rows.writerow([record.relative_to(root).as_posix(), "", ""])
    record.write_text(text.getvalue(), encoding="utf-8")


def pack(root: Path, wheel: Path, dates: dict[str, tuple[int, ...]]) -> None:
    """Write the files of a folder to a wheel, with dates that do not depend on the time."""
    newest = max(dates.values())
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                name = path.relative_to(root).as_posix()
                entry = zipfile.ZipInfo(name, dates.get(name, newest)[:6])
                entry.external_attr = (0o755 if path.suffix in (".so", ".1") else 0o644) << 16
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def compressed(content: bytes) -> bytes:
    """Return what zlib reads as the content, without header and check sum."""
    import zopfli.zlib  # tests of the other functions do without it

    # More than 5 iterations save 1/1000.
    return bytes(zopfli.zlib.compress(content, numiterations=5)[2:-4])


def compress(wheel: Path, path: Path) -> None:
    """Write a wheel again, with the same files in the same order, in fewer bytes."""
    with zipfile.ZipFile(wheel) as original, zipfile.ZipFile(path, "w") as packed:
        for file in original.infolist():
            add_compressed(packed, file, original.read(file))


def add_compressed(packed: zipfile.ZipFile, file: zipfile.ZipInfo, content: bytes) -> None:
    """Add a file to an archive; `zipfile` itself compresses with zlib alone."""
    entry = zipfile.ZipInfo(file.filename, file.date_time)
    entry.external_attr = file.external_attr
    packed.writestr(entry, compressed(content))  # as if it were the content
    assert packed.fp is not None
    entry.compress_type, entry.file_size = zipfile.ZIP_DEFLATED, len(content)
    entry.CRC = zlib.crc32(content)
    packed.fp.seek(entry.header_offset)
    packed.fp.write(entry.FileHeader())
    packed.fp.seek(packed.start_dir)


def repair(wheel: Path, folder: Path) -> None:
    """Write the repaired wheel to a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        root, packed = Path(scratch, "wheel"), Path(scratch, wheel.name)
        with zipfile.ZipFile(wheel) as original:
            original.extractall(root)
            dates = {file.filename: file.date_time for file in original.infolist()}
        add_library(root)
        write_record(root)
        pack(root, packed, dates)
        repaired = Path(scratch, "repaired")
        command = ["auditwheel", "repair", "--exclude", LIBRARY, "-w", repaired, packed]
        subprocess.run(command, check=True)
        (final,) = repaired.glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        compress(final, folder / final.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Repair one wheel."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path, help="folder of the repaired wheel")
    options = parser.parse_args(arguments)
    repair(options.wheel, options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
