"""The network architectures. Host only: importing a family imports torch; this module does not.

A family is one file with a function ``build(**config) -> DepthNetwork`` and one line in FAMILIES.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from edgedepth.errors import RecipeError
from edgedepth.extras import require

if TYPE_CHECKING:
    from edgedepth.models.base import DepthNetwork

__all__ = ["FAMILIES", "build_network"]

FAMILIES = {
    "densedepth": "edgedepth.models.densedepth",
    "irv2_attention": "edgedepth.models.irv2_attention",
    "unetpp": "edgedepth.models.unetpp",
    "lraspp": "edgedepth.models.lraspp",
    "resunet": "edgedepth.models.resunet",
    "fastdepth": "edgedepth.models.fastdepth",
    "glpn": "edgedepth.models.glpn",
    "depth_anything": "edgedepth.models.depth_anything",
    "zoedepth": "edgedepth.models.zoedepth",
    "dpt": "edgedepth.models.dpt",
    "depth_pro": "edgedepth.models.depth_pro",
    "edgedepth_s": "edgedepth.models.edgedepth_s",
}


def build_network(family: str, config: dict[str, Any] | None = None) -> DepthNetwork:
    """A network of ``family`` with random weights. ``config`` are the keyword arguments of the family's ``build``.

    Raises:
        RecipeError: no such family, or a key its ``build`` does not take.
        MissingExtraError: torch or a library of the family is not installed.
    """
    if family not in FAMILIES:
        raise RecipeError(f"no network family {family!r}; there are: {', '.join(FAMILIES)}")
    build = require(FAMILIES[family], "export").build
    known = inspect.signature(build).parameters
    unknown = [key for key in config or {} if key not in known]
    if unknown:
        raise RecipeError(f"the {family} family takes no {', '.join(unknown)}; it takes: {', '.join(known)}")
    network: DepthNetwork = build(**(config or {}))
    return network
