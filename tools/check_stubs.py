"""Compare the type stubs of all compiled modules with the modules, which must be installed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import ebagx


def compiled_files(package: Path) -> list[Path]:
    """Return the compiled modules of a package."""
    return sorted(path for pattern in ("*.so", "*.pyd") for path in package.rglob(pattern))


def stub_of(file: Path) -> Path:
    """Return where the stub of a compiled module must be."""
    return file.with_name(file.name.partition(".")[0] + ".pyi")


def main(package: Path) -> int:
    """Print what differs; return 0 if nothing does."""
    files = compiled_files(package)
    missing = [stub_of(file).name for file in files if not stub_of(file).exists()]
    if missing or not files:
        print(f"stubs: missing: {', '.join(missing) or 'all, as no module is compiled'}")
        return 1
    stubs = [stub_of(file).relative_to(package.parent).with_suffix("") for file in files]
    modules = [".".join(stub.parts) for stub in stubs]
    command = [sys.executable, "-P", "-m", "mypy.stubtest", *modules]
    with tempfile.TemporaryDirectory() as folder:  # in a clone, mypy would read the clone's stubs
        return subprocess.call(command, cwd=folder)


if __name__ == "__main__":
    sys.exit(main(Path(ebagx.__file__).parent))
