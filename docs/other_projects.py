"""Link names of other projects to their documentation, without the network.

Intersphinx reads lists of names and pages, "inventories". Those of numpy, scipy and others come
from the network and have megabytes; here they are made of the names to which ebagx refers, so that
a build needs no network, gives the same pages everywhere, and knows each name that it links.
tests/repository/test_other_projects.py compares the names with the pages and with the packages.
"""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple


class Project(NamedTuple):
    """Where a project documents its names; ``{module}`` and ``{name}`` stand in for a name."""

    address: str
    page: str
    names: tuple[str, ...]
    other_pages: Mapping[str, str] = MappingProxyType({})


_PAGE_EACH = "reference/generated/{name}.html#{name}"
PROJECTS = {
    "python": Project(
        "https://docs.python.org/3/",
        "library/{module}.html#{name}",
        ("copy.copy", "copy.deepcopy", "os.fork", "os.replace"),
    ),
    "numpy": Project(
        "https://numpy.org/doc/stable/",
        _PAGE_EACH,
        ("numpy.load", "numpy.max", "numpy.memmap", "numpy.savez", "numpy.sum"),
        {"numpy.random.default_rng": "reference/random/generator.html#numpy.random.default_rng"},
    ),
    "scipy": Project(
        "https://docs.scipy.org/doc/scipy/",
        _PAGE_EACH,
        ("scipy.sparse.bsr_array", "scipy.sparse.csr_array"),
        {"scipy.sparse": "reference/sparse.html#module-scipy.sparse"},
    ),
    "pandas": Project(
        "https://pandas.pydata.org/docs/",
        "reference/api/{name}.html#{name}",
        ("pandas.DataFrame",),
    ),
    "sklearn": Project(
        "https://scikit-learn.org/stable/",
        "modules/generated/{name}.html#{name}",
        (
            "sklearn.base.clone",
            "sklearn.compose.ColumnTransformer",
            "sklearn.decomposition.TruncatedSVD",
            "sklearn.feature_extraction.FeatureHasher",
            "sklearn.feature_extraction.text.CountVectorizer",
            "sklearn.feature_extraction.text.HashingVectorizer",
            "sklearn.feature_extraction.text.TfidfVectorizer",
            "sklearn.linear_model.LogisticRegression",
            "sklearn.linear_model.SGDClassifier",
            "sklearn.linear_model.SGDRegressor",
            "sklearn.model_selection.LearningCurveDisplay",
            "sklearn.neural_network.MLPClassifier",
            "sklearn.preprocessing.MultiLabelBinarizer",
            "sklearn.preprocessing.PolynomialFeatures",
            "sklearn.random_projection.GaussianRandomProjection",
        ),
    ),
    "torch": Project(
        "https://docs.pytorch.org/docs/stable/",
        "generated/{name}.html#{name}",
        ("torch.nn.EmbeddingBag",),
    ),
    "dask": Project(
        "https://docs.dask.org/en/stable/",
        "generated/{name}.html#{name}",
        ("dask.dataframe.read_parquet",),
    ),
}


def write_inventories(folder: Path) -> dict[str, tuple[str, str]]:
    """Write an inventory for each project, and return `intersphinx_mapping`."""
    folder.mkdir(exist_ok=True)
    for key, project in PROJECTS.items():
        (folder / f"{key}.inv").write_bytes(_inventory(key, project))
    return {key: (p.address, str(folder / f"{key}.inv")) for key, p in PROJECTS.items()}


def _inventory(key: str, project: Project) -> bytes:
    """Return the names in Sphinx's format, version 2. The role py:obj, the default, takes any."""
    head = f"# Sphinx inventory version 2\n# Project: {key}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    lines = [f"{name} py:function 1 {page} -\n" for name, page in pages(project)]
    return head.encode() + zlib.compress("".join(lines).encode())


def pages(project: Project) -> Iterator[tuple[str, str]]:
    """Yield the names of a project, each with its page."""
    yield from project.other_pages.items()
    for name in project.names:
        module, _, last = name.rpartition(".")
        page = project.page.format(name=name, module=module)
        yield name, page
        if last[0].isupper() and name.startswith("sklearn."):  # docstrings name classes alone
            yield last, page
