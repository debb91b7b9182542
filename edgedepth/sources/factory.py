"""One function that opens any source by its URI."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgedepth.errors import EdgeDepthError, InputError, SourceError, SourceNotFound
from edgedepth.sources._uri import redact, scheme_of
from edgedepth.sources.base import Source, SourceOpener, SourceOptions
from edgedepth.sources.clip import is_clip_folder, open_clip
from edgedepth.sources.gstreamer import open_csi, open_gst
from edgedepth.sources.images import IMAGE_SUFFIXES, open_images
from edgedepth.sources.opencv import open_network, open_v4l2, open_video_file
from edgedepth.sources.rgbd import is_rgbd_folder, open_rgbd
from edgedepth.types import Intrinsics

__all__ = ["ENTRY_POINT_GROUP", "known_schemes", "open_source"]

ENTRY_POINT_GROUP = "edgedepth.sources"
"""Entry points of this group add schemes: the name is the scheme, the object a SourceOpener."""


def open_source(
    uri: str | os.PathLike[str],
    options: SourceOptions | None = None,
    *,
    intrinsics: Intrinsics | str | None = None,
    loop: bool = False,
) -> Source:
    """Open where frames come from.

    Args:
        uri: ``0``, ``v4l2:///dev/video0?width=1280&height=720&fps=30``, ``usb://``, ``usb://1``,
            ``csi://0?width=1920&height=1080&fps=30&flip=0``, ``gst:PIPELINE``, ``rtsp(s)://``, ``http(s)://``,
            ``file://`` or the path of a video, an image, a folder of images, an RGB-D folder or manifest, or a clip's
            folder; ``clip://demo?live=1``; a glob pattern of images; or a scheme that an installed package adds
            (``synthetic://``).
        options: times, scales and the rest; see SourceOptions.
        intrinsics: same as in ``options``.
        loop: same as in ``options``.

    Returns:
        An open Source; close it, or use it as a context manager.

    Raises:
        InputError: unknown scheme, malformed URI, a file that is no image or video.
        IntrinsicsError: the intrinsics are for another aspect ratio than the source's images.
        SourceNotFound: no such file, camera, host or stream. SourceAuthError: credentials refused.
        MissingExtraError: the source needs an optional dependency.
    """
    options = options or SourceOptions()
    if intrinsics is not None or loop:
        options = replace(options, intrinsics=intrinsics or options.intrinsics, loop=loop or options.loop)
    text = os.fspath(uri)
    if not text.strip():
        raise InputError(
            f"the source is empty; expected a path, a camera number or a URI ({', '.join(known_schemes())})"
        )
    scheme = "v4l2" if text.isdecimal() and not Path(text).exists() else scheme_of(text)
    return _opener(scheme, text)(text, options)


def known_schemes() -> list[str]:
    """The schemes that ``open_source`` understands here, those of installed packages included."""
    return sorted({name for name in _OPENERS if name} | {point.name for point in entry_points(group=ENTRY_POINT_GROUP)})


def _opener(scheme: str, uri: str) -> SourceOpener:
    opener = _OPENERS.get(scheme)
    if opener is not None:
        return opener
    plugins: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if scheme not in plugins:
        raise InputError(
            f"unknown scheme {scheme}:// in {redact(uri)}; known are {', '.join(known_schemes())}, and paths of files"
        )
    try:
        loaded: SourceOpener = plugins[scheme].load()
    except EdgeDepthError:
        raise
    except Exception as error:
        # The package is someone else's: whatever it raises while it is imported is not a crash of ours.
        raise SourceError(f"the plugin of {scheme}:// ({plugins[scheme].value}) does not load: {error}") from error
    return loaded


def _open_path(uri: str, options: SourceOptions) -> Source:
    text = unquote(urlsplit(uri).path) if uri.startswith("file://") else uri
    path = Path(text).expanduser()
    if glob.has_magic(text) and not path.exists():
        return open_images(text, options)
    if not path.exists():
        raise SourceNotFound(
            f"no such file: {redact(text)}; expected a path, a camera number, or a URI ({', '.join(known_schemes())})"
        )
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")
    if path.is_dir() and is_clip_folder(path):
        return open_clip(str(path), options)
    if path.is_dir():
        return (open_rgbd if is_rgbd_folder(path) else open_images)(str(path), options)
    if path.stat().st_size == 0 and path.is_file():
        raise InputError(f"{path}: the file is empty (0 bytes); copy or record it again")
    suffix = path.suffix.lower()
    if suffix == ".json":
        return open_rgbd(str(path), options)
    if suffix in IMAGE_SUFFIXES:
        return open_images(str(path), options)
    return open_video_file(path, str(path), options)


_OPENERS: Mapping[str, Callable[[str, SourceOptions], Source]] = {
    "": _open_path,
    "file": _open_path,
    "v4l2": open_v4l2,
    "usb": open_v4l2,
    "csi": open_csi,
    "clip": open_clip,
    "gst": open_gst,
    "rtsp": open_network,
    "rtsps": open_network,
    "http": open_network,
    "https": open_network,
}
