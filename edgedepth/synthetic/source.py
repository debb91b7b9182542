"""``synthetic://``: made-up scenes as a source, with exact depth. It comes in through an entry point, as any would.

``synthetic://?width=640&height=480&fps=30&seconds=10&live=0``: the scripted scene.
``synthetic://room?seed=7``, with the same settings and ``people``: a rendered room (extra ``synth``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

from edgedepth.errors import EndOfStream, InputError, IntrinsicsError
from edgedepth.sources import Source, SourceOptions
from edgedepth.sources._uri import positive_int, query_of
from edgedepth.sources.grabber import Shot
from edgedepth.sources.live import LiveSource
from edgedepth.sources.ordered import OrderedSource
from edgedepth.synthetic.mujoco_renderer import RoomRenderer
from edgedepth.synthetic.render import Renderer
from edgedepth.synthetic.rooms import room_scene
from edgedepth.synthetic.scene import default_scene
from edgedepth.types import Frame

__all__ = ["SyntheticGrabber", "open_synthetic"]

# name: (default, lowest, highest)
_SETTINGS = {
    "width": (640, 64, 4096),
    "height": (480, 48, 4096),
    "fps": (30, 1, 1000),
    "seconds": (10, 1, 86_400),
    "live": (0, 0, 1),
}
_ROOM_SETTINGS = {"seed": (0, 0, 2**31 - 1), "people": (-1, 0, 3)}


class _Seen(Protocol):
    def frame(self) -> Frame: ...


class SyntheticGrabber:
    """A Grabber that renders a scene.

    Args:
        render: what is seen at a time, seconds. size_wh: of its image.
        release: called when closed.
        fps: frames per second of the scene's own time.
        seconds: length.
        live: give frames at their own pace instead of as fast as they render.
    """

    gives_depth = True

    def __init__(
        self,
        render: Callable[[float], _Seen],
        size_wh: tuple[int, int],
        *,
        fps: float,
        seconds: float,
        live: bool,
        release: Callable[[], None],
    ) -> None:
        self._render, self._release = render, release
        self.size_wh: tuple[int, int] | None = size_wh
        self.fps: float | None = fps
        self.frame_count: int | None = round(seconds * fps)
        self._period_s, self._live, self._frames = 1 / fps, live, round(seconds * fps)
        self._next, self._start_s = self._frames, 0.0

    def open(self) -> None:
        """See Grabber.open."""
        self._next, self._start_s = 0, time.monotonic()

    def grab(self, timeout_s: float) -> Shot:
        """See Grabber.grab."""
        if self._next >= self._frames:
            raise EndOfStream(f"end after {self._frames} frames")
        if self._live:
            # The newest frame that is due: one that renders late is skipped, as a camera would.
            elapsed = (time.monotonic() - self._start_s) / self._period_s
            self._next = max(self._next, int(elapsed))
            if self._next >= self._frames:
                raise EndOfStream(f"end after {self._frames} frames")
            time.sleep(max(0.0, (self._next - elapsed) * self._period_s))
        t_s = self._next * self._period_s
        self._next += 1
        timestamp_ns, wall_time_ns = time.monotonic_ns(), time.time_ns()
        seen = self._render(t_s).frame()
        return Shot(
            image=seen.image,
            timestamp_ns=timestamp_ns,
            wall_time_ns=wall_time_ns,
            media_time_s=t_s,
            depth_m=seen.depth_m,
            intrinsics=seen.intrinsics,
            up=seen.up,
            pose=seen.pose,
        )

    def close(self) -> None:
        """See Grabber.close."""
        self._next = self._frames
        self._release()


def open_synthetic(uri: str, options: SourceOptions) -> Source:
    """Open ``synthetic://``; an opener of ``edgedepth.sources``.

    Raises:
        InputError: an unknown setting, or one out of range.
        IntrinsicsError: intrinsics were given; the scene is rendered with its own camera.
    """
    if options.intrinsics is not None:
        raise IntrinsicsError("synthetic:// renders with its own camera; leave the intrinsics out")
    scene_name, settings = _settings(uri)
    size_wh = settings["width"], settings["height"]
    live, fps, seconds = bool(settings["live"]), settings["fps"], settings["seconds"]
    if scene_name == "room":
        people = settings["people"] if settings["people"] >= 0 else None
        room = room_scene(settings["seed"], width=size_wh[0], height=size_wh[1], people=people)
        renderer = RoomRenderer()
        render: Callable[[float], _Seen] = partial(renderer.render, room)
        release = renderer.close
    else:
        render, release = Renderer(default_scene(*size_wh)).render, _nothing
    grabber = SyntheticGrabber(render, size_wh, fps=fps, seconds=seconds, live=live, release=release)
    grabber.open()
    return (LiveSource if live else OrderedSource)(grabber, uri, options)


def _nothing() -> None:
    """What a scene without a context has to release."""


def _settings(uri: str) -> tuple[str, dict[str, int]]:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "default", "room") or parts.path not in ("", "/"):
        raise InputError(
            f"{uri}: expected synthetic:// or synthetic://room, found the scene {parts.netloc + parts.path!r}"
        )
    known = _SETTINGS | (_ROOM_SETTINGS if parts.netloc == "room" else {})
    given = query_of(uri, *known)
    settings = {}
    for name, (default, low, high) in known.items():
        value = positive_int(given, name, minimum=low, maximum=high)
        settings[name] = default if value is None else value
    return parts.netloc, settings
