"""Test setup.py where it cannot build all of ebagx. No module is compiled."""

import shutil
import sys
import sysconfig
import types

import pytest

from support.repository import ROOT, load_script

setuptools = pytest.importorskip("setuptools")
build_ext = pytest.importorskip("setuptools.command.build_ext")
with_compiler = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None, reason="stands on gcc for Linux"
)


@pytest.fixture
def load(monkeypatch):
    """Load setup.py with its settings, without the build that it starts, and without Cython."""
    stand_ins = {
        "Cython": types.ModuleType("Cython"),
        "Cython.Build": types.SimpleNamespace(cythonize=lambda modules, **_: modules),
        "Cython.Compiler": types.SimpleNamespace(Options=types.SimpleNamespace()),
    }
    for name, module in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(setuptools, "setup", lambda **_: None)
    monkeypatch.chdir(ROOT)

    def load(**settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return load_script("setup.py")

    return load


@pytest.fixture
def gcc_without(tmp_path):
    """Write a compiler that refuses one flag, and return its path."""

    def write(flag):
        path = tmp_path / "cc"
        path.write_text(f'#!/bin/sh\ncase " $* " in *" {flag} "*) exit 1;; esac\nexec gcc "$@"\n')
        path.chmod(0o755)
        return str(path)

    return write


def command_of(setup):
    """Return setup.py's command with the compiler of the environment, and nothing to build."""
    command = setup.BuildWithLevels(setuptools.Distribution({"ext_modules": []}))
    command.extensions = []
    command.compiler = build_ext.new_compiler()
    build_ext.customize_compiler(command.compiler)
    command.compiler.add_include_dir(sysconfig.get_path("include"))
    return command


def test_unknown_setting(load):
    with pytest.raises(SystemExit, match=r"^EBAGX_OPENMP must be .*, got 'yes'$"):
        load(EBAGX_OPENMP="yes")


@with_compiler
def test_no_compiler(load):
    command = command_of(load(CC="/nonexistent"))
    with pytest.raises(SystemExit, match=r"^ebagx needs a C compiler, and none works here; .*"):
        command.build_extensions()


@with_compiler
def test_no_headers(load):
    command = command_of(load())
    command.compiler.set_include_dirs([])
    with pytest.raises(SystemExit, match=r"Python.h was not found; .*: apt install python3-dev$"):
        command.build_extensions()


@with_compiler
def test_openmp_required(load, gcc_without):
    command = command_of(load(CC=gcc_without("-fopenmp"), EBAGX_OPENMP="require"))
    with pytest.raises(SystemExit, match=r"^EBAGX_OPENMP=require, but .* \(-fopenmp\); "):
        command.build_extensions()


@with_compiler
@pytest.mark.parametrize("setting", ["auto", "require", "off"])
def test_openmp_flags(load, setting):
    command = command_of(load(EBAGX_OPENMP=setting))
    flags = ([], []) if setting == "off" else (["-fopenmp"], ["-fopenmp"])
    assert command.openmp_flags("unix") == flags


@with_compiler
def test_no_openmp_is_serial(load, gcc_without, capfd):
    command = command_of(load(CC=gcc_without("-fopenmp"), EBAGX_OPENMP="auto"))
    command.build_extensions()
    assert command.openmp_flags("unix") == ([], [])
    assert "ebagx: no OpenMP found, building without threads" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("platform", "flags", "levels"),
    [
        ("linux-x86_64", "", ["baseline", "avx2", "avx512"]),
        ("win-amd64", "", ["baseline", "avx2", "avx512"]),
        ("linux-aarch64", "", ["baseline"]),
        ("win-arm64", "", ["baseline"]),
        ("macosx-11.0-arm64", "-arch x86_64", ["baseline", "avx2"]),
        ("macosx-10.13-x86_64", "", ["baseline", "avx2"]),
        ("macosx-10.13-x86_64", "-arch arm64", ["baseline"]),
        ("macosx-10.13-universal2", "-arch arm64 -arch x86_64", ["baseline"]),
    ],
)
def test_levels_are_those_of_the_target(load, monkeypatch, platform, flags, levels):
    setup = load(ARCHFLAGS=flags)
    monkeypatch.setattr(sysconfig, "get_platform", lambda: platform)
    assert setup.level_names() == levels


@pytest.mark.parametrize(
    ("chosen", "levels"),
    [
        ("", ["baseline", "avx2", "avx512"]),
        ("avx2", ["avx2"]),
        ("avx512, baseline", ["baseline", "avx512"]),
    ],
)
def test_chosen_levels(load, monkeypatch, chosen, levels):
    setup = load(EBAGX_LEVELS=chosen)
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "linux-x86_64")
    assert setup.chosen_levels() == levels
    names = {module.name for module in setup.extensions()}
    others = {*setup.SMALL, "ebagx.io.vectors.parse", "ebagx.text.tokens"}
    assert names == {f"ebagx._kernels._{level}" for level in levels} | others


@pytest.mark.parametrize("chosen", ["sse", "avx2,", "avx2 baseline"])
def test_unknown_level(load, chosen):
    with pytest.raises(SystemExit, match=r"^EBAGX_LEVELS must name levels of .*, got '.*'$"):
        load(EBAGX_LEVELS=chosen)


@pytest.mark.parametrize("inplace", [False, True])
def test_other_levels_need_the_baseline(load, monkeypatch, tmp_path, inplace):
    setup = load()
    monkeypatch.setattr(setup, "CHOSEN", "avx2")
    monkeypatch.setattr(setup, "level_names", lambda: ["baseline", "avx2"])
    monkeypatch.chdir(tmp_path)
    command = setup.BuildWithLevels(setuptools.Distribution())
    command.inplace, command.build_lib = inplace, "build"
    with pytest.raises(SystemExit, match=r"^EBAGX_LEVELS=avx2, but the level baseline, .*; name"):
        command.check_baseline()
    folder = tmp_path / ("." if inplace else "build") / "ebagx/_kernels"
    folder.mkdir(parents=True)
    (folder / "_baseline.c").touch()
    with pytest.raises(SystemExit):
        command.check_baseline()
    (folder / "_baseline.abi3.so").touch()
    command.check_baseline()


def test_kernels_depend_on_each_header(load):
    (baseline, *_) = [module for module in load().extensions() if "baseline" in module.name]
    folder = ROOT / "ebagx/_kernels"
    included = {path.name for pattern in ("*.h", "*.pxi") for path in folder.rglob(pattern)}
    assert {path.rpartition("/")[2] for path in baseline.depends} == included
