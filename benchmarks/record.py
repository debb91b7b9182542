"""The one schema of ``benchmarks/results/*.json``: when, on what, with which versions, and what came out."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgedepth import __version__
from edgedepth.device import describe_device, package_version, usable_cpus
from edgedepth.output import atomic_output

__all__ = ["Record", "rounded"]

SCHEMA_VERSION = 1


class Record:
    """One run of a benchmark. Make it before measuring: it notes the time and what else the machine is doing.

    Args:
        benchmark: its name.
        output: where to write; None takes ``file_name`` in ``benchmarks/results``.
        file_name: with ``{device}`` and ``{date}`` to be filled in.
        packages: distributions whose versions matter to the result.
    """

    def __init__(self, benchmark: str, output: Path | None, *, file_name: str, packages: Iterable[str]) -> None:
        device, now = describe_device(), datetime.now(timezone.utc)
        slug = re.sub(r"[^a-z0-9]+", "-", device.name.lower()).strip("-")
        default = Path(__file__).parent / "results" / file_name.format(device=slug, date=f"{now:%Y-%m-%d}")
        self.output = output or default
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self._head = {
            "schema_version": SCHEMA_VERSION,
            "benchmark": benchmark,
            "date": now.isoformat(timespec="seconds"),
            "device": device.as_dict(),
            "cores": usable_cpus(),
            "load_average_before": round(os.getloadavg()[0], 2),
            "versions": {"edgedepth": __version__}
            | {name: version for name in packages if (version := package_version(name)) is not None},
        }

    def write(self, settings: dict[str, Any], results: dict[str, Any]) -> None:
        """Write the file whole, print the results on standard output and the file's name on standard error."""
        report = self._head | settings | {"results": results}
        with atomic_output(self.output) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")
        print(json.dumps(report["results"], indent=1))
        print(f"written: {self.output}", file=sys.stderr)


def rounded(value: Any) -> Any:
    """Every float in nested lists and mappings to four decimals."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value
