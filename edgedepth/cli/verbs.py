"""The application with its verbs."""

from __future__ import annotations

from edgedepth.cli import (
    build,
    data,
    demo,
    doctor,
    evaluate,
    export,
    inspect,
    measure,
    models,
    run,
    sources,
    synth,
    train,
)
from edgedepth.cli.app import app

__all__ = ["app"]

for verb in (
    demo.demo, run.run, measure.measure, models.models, export.export, build.build, evaluate.evaluate, inspect.inspect,
    sources.sources, synth.synth, train.train, doctor.doctor,
):  # fmt: skip
    app.command()(verb)
app.add_typer(data.data)
