"""The frames a network is proved on while it is exported: an image set's, or rendered rooms when there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgedepth.bundle import FrameSet
from edgedepth.calibration.int8_set import ImageSet
from edgedepth.errors import CalibrationSetError
from edgedepth.synthetic.render import Renderer
from edgedepth.synthetic.scene import default_scene
from edgedepth.types import Frame

__all__ = ["GOLDEN_FRAMES", "ProofFrames", "proof_frames", "rendered_frames"]

GOLDEN_FRAMES = 4
"""How many go into a bundle: enough to see a scale that varies between frames, few enough to run on every device."""
EVALUATED = 16
PROBED = 8

# Height above the floor, metres; pitch, degrees; time, seconds.
_VIEWS = ((1.35, 8.0, 0.0), (0.6, -3.0, 1.5), (2.1, 25.0, 3.0), (1.0, 0.0, 4.5), (1.6, 15.0, 6.0), (0.9, 5.0, 7.5))


@dataclass(frozen=True)
class ProofFrames:
    """What a network is proved on.

    Attributes:
        frame_set: what they are, for the report.
        evaluated: accuracy is measured here; not seen by any calibration.
        probed: magnitudes of activations are measured here.
    """

    frame_set: FrameSet
    evaluated: tuple[Frame, ...]
    probed: tuple[Frame, ...]


def rendered_frames() -> Iterator[Frame]:
    """Views of a rendered room, 640x480, the same every time."""
    scene = default_scene()
    for height_m, pitch_deg, t_s in _VIEWS:
        camera = replace(scene.camera, height_m=height_m, pitch_deg=pitch_deg)
        yield Renderer(replace(scene, camera=camera)).render(t_s).frame()


def proof_frames(image_set: ImageSet | None) -> ProofFrames:
    """Held-out frames of ``image_set`` to evaluate and calibration frames to probe; or rendered rooms for both.

    Rendered rooms say whether two graphs agree. How well a network does on real rooms they do not say, so their depth
    is not taken for truth.

    Raises:
        CalibrationSetError: the set holds no frame out.
    """
    if image_set is None:
        rooms = tuple(replace(frame, depth_m=None) for frame in rendered_frames())
        return ProofFrames(FrameSet(name="rendered rooms", frames=len(rooms), truth="fp32"), rooms, rooms)
    evaluated = tuple(_spread(image_set.held_out, EVALUATED))
    if not evaluated:
        raise CalibrationSetError(
            f"{image_set.name} holds no frame out, so accuracy cannot be measured; add entries with split = held_out"
        )
    probed = tuple(_spread(image_set.calibration, PROBED))
    measured = all(frame.depth_m is not None for frame in evaluated)
    frame_set = FrameSet(name=image_set.name, frames=len(evaluated), truth="sensor" if measured else "fp32")
    return ProofFrames(frame_set, evaluated, probed or evaluated)


def _spread(frames: Sequence[Frame], count: int) -> Iterator[Frame]:
    """At most ``count`` of them, evenly over the whole."""
    total = len(frames)
    for index in np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int)) if total else ():
        yield frames[int(index)]
