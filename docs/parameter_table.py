"""Write the table of all parameters of public functions, classes and their methods."""

import csv
import importlib
import inspect
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODULES = (
    *("ebagx", "ebagx.optim", "ebagx.metrics", "ebagx.datasets", "ebagx.sklearn", "ebagx.text"),
    *("ebagx.dask", "ebagx.sklearn.plot", "ebagx.torch"),
)


def write_parameter_table(folder: Path) -> None:
    """Write ``parameters.csv``: each parameter, its defaults, and what has it."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for owner, parameter in _parameters():
        found[parameter.name][_default(parameter)].append(owner)
    folder.mkdir(exist_ok=True)
    with (folder / "parameters.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for name in sorted(found, key=lambda name: (name.lower(), name)):
            for default, owners in found[name].items():
                writer.writerow([f"``{name}``", default, ", ".join(f"`{o}`" for o in owners)])


def _parameters() -> Iterator[tuple[str, inspect.Parameter]]:
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            public = getattr(module, name)
            if callable(public):
                for parameter in _of(public):
                    yield f"~{module.__name__}.{name}", parameter


def _of(public: Any) -> Iterator[inspect.Parameter]:
    """Yield the named parameters of a function, or of the constructor of a class."""
    for parameter in inspect.signature(public).parameters.values():
        is_named = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if is_named and not parameter.name.startswith("_"):
            yield parameter


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return "required"
    text = repr(parameter.default)
    return f"``{text}``" if "<" not in text else ""
