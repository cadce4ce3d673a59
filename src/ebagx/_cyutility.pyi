"""What Cython shares between compiled modules: its own, and for nobody to import."""

from typing import Any

__pyx_capi__: dict[str, Any]
__test__: dict[str, str]

def __getattr__(name: str) -> Any: ...
