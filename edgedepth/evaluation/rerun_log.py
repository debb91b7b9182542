"""Frames with their depth as a Rerun recording: camera, image, truth and prediction in 3D (extra ``rerun``)."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from edgedepth.errors import InputError
from edgedepth.evaluation.plots import Example
from edgedepth.extras import require
from edgedepth.output import atomic_output

__all__ = ["write_examples"]


def write_examples(path: str | os.PathLike[str], examples: Sequence[Example]) -> None:
    """Write ``.rrd``: for each frame a pinhole camera (x right, y down, z forward), its image, the depth found and the
    true depth, both in metres.

    Args:
        path: the file to write; appears whole.
        examples: frames with metric depth.

    Raises:
        InputError: no frame has metres to show. MissingExtraError: rerun-sdk is missing.
        OutputError: the file cannot be written.
    """
    rr = require("rerun", "rerun")
    shown = [example for example in examples if example.found.is_metric]
    if not shown:
        raise InputError("a Rerun recording shows metric depth and there is none here; use --html for ordinal pairs")
    with atomic_output(path) as temporary:
        recording = rr.RecordingStream("edgedepth")
        recording.save(temporary)
        for number, example in enumerate(shown):
            recording.set_time("frame", sequence=number)
            height, width = example.found.values.shape
            camera = example.intrinsics
            for name, depth_m in (("found", example.found.values), ("truth", example.truth_m)):
                if depth_m is None:
                    continue
                entity = f"{name}/camera"
                if camera is not None:
                    pinhole = rr.Pinhole(
                        image_from_camera=camera.matrix, width=width, height=height, camera_xyz=rr.ViewCoordinates.RDF
                    )
                    recording.log(entity, pinhole)
                recording.log(f"{entity}/image", rr.Image(example.image))
                recording.log(f"{entity}/depth", rr.DepthImage(np.nan_to_num(depth_m), meter=1.0))
            recording.log("record", rr.TextDocument(example.record.model_dump_json(indent=1, exclude_none=True)))
        recording.flush()
        recording.disconnect()
