"""The application with its verbs."""

from __future__ import annotations

from edgedepth.cli import doctor, export, inspect, measure, models, run, sources
from edgedepth.cli.app import app

__all__ = ["app"]

for verb in (
    run.run, measure.measure, export.export, models.models, inspect.inspect, sources.sources, doctor.doctor,
):  # fmt: skip
    app.command()(verb)
