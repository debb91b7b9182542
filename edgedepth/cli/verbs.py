"""The application with its verbs."""

from __future__ import annotations

from edgedepth.cli import doctor, inspect, measure, run, sources
from edgedepth.cli.app import app

__all__ = ["app"]

for verb in (run.run, measure.measure, inspect.inspect, sources.sources, doctor.doctor):
    app.command()(verb)
