"""Camera intrinsics in the formats people have them in.

The format is told from the content. Adding one is a file with a ``FORMAT`` and a line in ``FORMATS``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edgedepth.errors import IntrinsicsError
from edgedepth.intrinsics_io import colmap, kalibr, native, open3d, realsense, ros
from edgedepth.intrinsics_io.document import Document, Format, parse
from edgedepth.intrinsics_io.plain import looks_plain, read_plain
from edgedepth.output import atomic_output
from edgedepth.types import Intrinsics

__all__ = ["FORMATS", "load_intrinsics", "save_intrinsics"]

# The order is that of recognition: the formats with the most particular keys first.
FORMATS: Mapping[str, Format] = {
    module.FORMAT.name: module.FORMAT for module in (colmap, open3d, realsense, kalibr, ros, native)
}
_FORMAT_OF_SUFFIX = {".json": "edgedepth", ".yaml": "ros", ".yml": "ros", ".txt": "colmap"}
_MAX_BYTES = 4_000_000  # a cameras.txt of a large survey is far below; a video handed in by mistake is above


def load_intrinsics(
    path_or_text: str | os.PathLike[str], *, size_wh: tuple[int, int] | None = None, camera: str | None = None
) -> Intrinsics:
    """Read intrinsics from a file of any format in FORMATS, or from the text itself.

    Args:
        path_or_text: a path; ``path#camera`` for one camera of a file that holds several (``chain.yaml#cam1``);
            the content of such a file; ``fx,fy,cx,cy[,k1,k2,p1,p2[,k3]]``; or ``hfov=69`` / ``dfov=78`` (degrees).
        size_wh: width and height of the images they are for, pixels. Numbers on the command line need it; what a
            file gives is rescaled to it.
        camera: the camera's name (Kalibr ``cam1``) or number (COLMAP ``2``) where the file holds several.

    Returns:
        Intrinsics with pixel centres at integers, whatever the format's own convention.

    Raises:
        IntrinsicsError: not found, not understood, several cameras and none chosen, values that cannot be true,
            or another aspect ratio than ``size_wh``.
    """
    text = os.fspath(path_or_text)
    if isinstance(path_or_text, str) and looks_plain(text):
        return read_plain(text, size_wh)
    if isinstance(path_or_text, str) and ("\n" in text or text.lstrip().startswith("{")):
        name = "intrinsics"
    else:
        name, text, camera = _read_file(text, camera)
    try:
        if looks_plain(text):
            return read_plain(text, size_wh)
        found = _read_text(text, camera)
        return found if size_wh is None else found.for_size(*size_wh)
    except IntrinsicsError as error:
        raise IntrinsicsError(f"{name}: {error}") from error


def save_intrinsics(intrinsics: Intrinsics, path: str | os.PathLike[str], format: str | None = None) -> None:
    """Write intrinsics to a file, whole or not at all.

    Args:
        intrinsics: what to write.
        path: the file; what is there is replaced.
        format: a name in FORMATS; by default ``edgedepth`` for .json, ``ros`` for .yaml and ``colmap`` for .txt.

    Raises:
        IntrinsicsError: unknown format, or one that cannot hold this lens.
        OutputError: the file cannot be written.
    """
    name = format or _FORMAT_OF_SUFFIX.get(Path(path).suffix.lower(), "")
    if name not in FORMATS:
        raise IntrinsicsError(
            f"no intrinsics format for {format or os.fspath(path)!r}; one of {', '.join(FORMATS)}, "
            f"or a file name ending in {', '.join(_FORMAT_OF_SUFFIX)}"
        )
    text = FORMATS[name].write(intrinsics)
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _read_file(name: str, camera: str | None) -> tuple[str, str, str | None]:
    if not name.strip():
        raise IntrinsicsError("the intrinsics are empty; give a file, fx,fy,cx,cy in pixels, or hfov=DEGREES")
    path = Path(name)
    if not path.exists() and camera is None and "#" in name:
        name, _, camera = name.rpartition("#")
        path = Path(name)
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise IntrinsicsError(
            f"no intrinsics file {name}; give a file that exists, fx,fy,cx,cy in pixels, hfov=DEGREES or dfov=DEGREES"
        ) from None
    except OSError as error:
        raise IntrinsicsError(f"cannot read intrinsics {name}: {error.strerror}") from error
    text = content.decode("utf-8-sig", errors="replace")
    if len(content) > _MAX_BYTES or "\0" in text or "\ufffd" in text:
        raise IntrinsicsError(f"{name}: not a text file; expected one of {_titles()}")
    if not text.strip():
        raise IntrinsicsError(f"{name}: the file is empty; expected one of {_titles()}")
    return name, text, camera


def _read_text(text: str, camera: str | None) -> Intrinsics:
    # COLMAP's lines are no YAML, so its own pattern is tried before anything is parsed.
    raw = Document(text, {})
    document = raw if FORMATS["colmap"].matches(raw) else parse(text)
    for candidate in FORMATS.values():
        if candidate.matches(document):
            return candidate.read(_choose(candidate.cameras(document), camera))
    keys = ", ".join(map(str, document.data)) or "no keys"
    raise IntrinsicsError(f"found {keys}; expected one of {_titles()}")


def _choose(cameras: Mapping[str, object], camera: str | None) -> object:
    names = ", ".join(cameras)
    if camera is None:
        if len(cameras) > 1:
            raise IntrinsicsError(
                f"holds {len(cameras)} cameras ({names}); choose one, as in FILE#{next(iter(cameras))}"
            )
        return next(iter(cameras.values()))
    if camera not in cameras:
        raise IntrinsicsError(f"holds no camera '{camera}'; it holds {names or 'one camera, without a name'}")
    return cameras[camera]


def _titles() -> str:
    return ", ".join(format.title for format in FORMATS.values())
