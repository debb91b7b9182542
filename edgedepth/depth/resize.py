"""How a frame becomes the network's image, and how pixels and cameras map between the two."""

from __future__ import annotations

from dataclasses import dataclass

from edgedepth.bundle.spec import InputSpec
from edgedepth.errors import InputError
from edgedepth.types import Intrinsics

__all__ = ["Rect", "ResizePlan"]

Rect = tuple[int, int, int, int]
"""x, y of the top left pixel, width, height; pixels."""


@dataclass(frozen=True)
class ResizePlan:
    """One frame size against one network: the frame's ``source`` rectangle is resampled onto ``content``.

    With s = content size / source size, pixel centres map as x' = (x - source_x + 0.5) s - 0.5 + content_x, which is
    the rule of ``Intrinsics.resized`` and of OpenCV's bilinear resize.

    Attributes:
        frame_wh: the frame's size, pixels.
        network_wh: the network's input size, pixels.
        source: the rectangle of the frame that the network sees.
        content: where it lies in the network's image; the rest is padding.
    """

    frame_wh: tuple[int, int]
    network_wh: tuple[int, int]
    source: Rect
    content: Rect

    @classmethod
    def for_frame(cls, spec: InputSpec, frame_wh: tuple[int, int]) -> ResizePlan:
        """The plan of ``spec.resize`` (see ResizeRule) for frames of this size.

        Raises:
            InputError: the frame is empty, or so narrow that nothing would be left of it.
        """
        fw, fh = frame_wh
        if fw <= 0 or fh <= 0:
            raise InputError(f"a frame has a width and a height, found {fw}x{fh}")
        nw, nh = spec.width, spec.height
        source, content = (0, 0, fw, fh), (0, 0, nw, nh)
        if spec.resize == "letterbox":
            scale = min(nw / fw, nh / fh)
            w, h = _side(fw * scale, nw), _side(fh * scale, nh)
            content = ((nw - w) // 2, (nh - h) // 2, w, h)
        elif spec.resize == "center_crop":
            scale = max(nw / fw, nh / fh)
            w, h = _side(nw / scale, fw), _side(nh / scale, fh)
            source = ((fw - w) // 2, (fh - h) // 2, w, h)
        elif spec.resize == "keep_aspect_multiple":
            scale = max(nw / fw, nh / fh)
            nw, nh = _multiple(fw * scale, spec.multiple_of), _multiple(fh * scale, spec.multiple_of)
            content = (0, 0, nw, nh)
        return cls(frame_wh, (nw, nh), source, content)

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Network pixels per frame pixel, horizontally and vertically."""
        return self.content[2] / self.source[2], self.content[3] / self.source[3]

    def to_network(self, x: float, y: float) -> tuple[float, float]:
        """Frame pixel -> pixel of the network's image."""
        (sx, sy), (x0, y0, *_), (u0, v0, *_) = self.scale_xy, self.source, self.content
        return (x - x0 + 0.5) * sx - 0.5 + u0, (y - y0 + 0.5) * sy - 0.5 + v0

    def to_frame(self, u: float, v: float) -> tuple[float, float]:
        """Pixel of the network's image -> frame pixel; outside the frame for padding."""
        (sx, sy), (x0, y0, *_), (u0, v0, *_) = self.scale_xy, self.source, self.content
        return (u - u0 + 0.5) / sx - 0.5 + x0, (v - v0 + 0.5) / sy - 0.5 + y0

    def network_intrinsics(self, frame: Intrinsics) -> Intrinsics:
        """The camera of the network's image.

        Raises:
            IntrinsicsError: ``frame`` is for another size than this plan.
        """
        (x0, y0, w0, h0), (u0, v0, w, h) = self.source, self.content
        fitted = frame.for_size(*self.frame_wh)
        return fitted.cropped(x0, y0, w0, h0).resized(w, h).cropped(-u0, -v0, *self.network_wh)


def _side(length: float, limit: int) -> int:
    """A whole number of pixels, at least one and within the image: 0.5 rounds up, floating error does not exceed."""
    return min(limit, max(1, int(length + 0.5)))


def _multiple(length: float, step: int) -> int:
    """The multiple of ``step`` nearest to ``length``, at least one."""
    return max(1, int(length / step + 0.5)) * step
