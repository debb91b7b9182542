"""Optional dependencies: imported where they are used, through one helper that says how to get them."""

from __future__ import annotations

import importlib
from types import ModuleType

from edgedepth.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, extra: str, *, note: str = "") -> ModuleType:
    """Import ``module``, which the optional extra ``extra`` brings.

    Args:
        module: dotted module name.
        extra: name of the extra in ``pip install "edgedepth[extra]"``.
        note: a further sentence, such as the system packages that are needed.

    Raises:
        MissingExtraError: it is not installed, or cannot be loaded; says the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        hint = f" {note}" if note else ""
        raise MissingExtraError(
            f"{module} is needed here and could not be imported ({error}); install it with: "
            f'pip install "edgedepth[{extra}]".{hint}'
        ) from error
