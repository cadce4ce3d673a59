"""Tools of the checks have the same exact version wherever one is named."""

import re
import tomllib

import pytest

from support.repository import ROOT

HOOKS = ROOT / ".pre-commit-config.yaml"
pytestmark = pytest.mark.skipif(not HOOKS.exists(), reason="the hooks are in the repository only")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PINNED = {
    re.split(r"[\[=]", requirement)[0]: requirement.rpartition("==")[2]
    for group in ("lint", "packaging")
    for requirement in PYPROJECT["dependency-groups"][group]
    if isinstance(requirement, str)
}
# The end of a hook's repository, where it is not the tool's name.
TOOLS = {"ruff-pre-commit": "ruff", "mirrors-mypy": "mypy", "zizmor-pre-commit": "zizmor"}


def hook_versions():
    """Return the version of each tool that a hook runs or needs."""
    text = HOOKS.read_text("utf-8")
    revisions = re.findall(r"repo: \S+/(\S+)\n +rev: v(\S+)", text)
    needed = re.findall(r'"([\w-]+)==([\d.]+)"', text)
    return {TOOLS.get(name, name): version for name, version in [*revisions, *needed]}


@pytest.mark.parametrize("group", ["lint", "packaging", "wheels"])
def test_groups_name_exact_versions(group):
    for requirement in PYPROJECT["dependency-groups"][group]:
        assert isinstance(requirement, dict) or re.search(r"==[\d.]+$", requirement)


def test_hooks_have_the_same_versions():
    hooks = hook_versions()
    common = {"codespell", "cython-lint", "mypy", "numpy", "ruff", "scipy-stubs", "zizmor"}
    assert {name: hooks.get(name) for name in common} == {name: PINNED[name] for name in common}


def test_tests_for_musl_need_what_the_tests_need():
    """The wheels for musl are tested with fewer packages, of versions that stand there again."""
    (musl,) = [
        override
        for override in PYPROJECT["tool"]["cibuildwheel"]["overrides"]
        if "musllinux" in override["select"]
    ]
    assert set(musl["test-requires"]) <= set(PYPROJECT["project"]["optional-dependencies"]["test"])
