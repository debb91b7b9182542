"""The command line: one file per verb.

A mistake in what was typed or handed in is one line on standard error and exit code 2; Ctrl-C is exit code 130;
anything else that escapes is a bug of ours and shows its traceback.
"""

from __future__ import annotations

import sys

from edgedepth.cli import doctor, inspect, measure, run, sources
from edgedepth.cli.app import app
from edgedepth.errors import EdgeDepthError

__all__ = ["app", "main"]

for verb in (run.run, measure.measure, inspect.inspect, sources.sources, doctor.doctor):
    app.command()(verb)


def main() -> None:
    """Entry point of the ``edgedepth`` command."""
    try:
        app(prog_name="edgedepth")
    except EdgeDepthError as error:
        print(f"edgedepth: error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
