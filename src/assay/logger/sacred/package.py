"""Sacred's observers, imported without the `pkg_resources` that setuptools no longer has."""

from __future__ import annotations

import importlib.resources
import sys
from types import ModuleType

__all__ = ["FileStorageObserver", "MongoObserver", "flatten"]


def _stand_in() -> ModuleType:
    """What Sacred 0.8 asks of it while it is imported: where its table of file types lies."""
    module = ModuleType("pkg_resources")
    module.resource_filename = lambda package, name: str(importlib.resources.files(package) / name)  # type: ignore[attr-defined]
    return module


_absent = "pkg_resources" not in sys.modules
if _absent:
    sys.modules["pkg_resources"] = _stand_in()
try:
    from sacred.observers.file_storage import FileStorageObserver
    from sacred.observers.mongo import MongoObserver
    from sacred.serializer import flatten
finally:
    if _absent:
        del sys.modules["pkg_resources"]
