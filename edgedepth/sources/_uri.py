"""Reading URIs, and keeping their secrets out of everything that is printed or stored."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from edgedepth.errors import InputError

__all__ = ["positive_int", "query_of", "redact", "scheme_of"]

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
# Everything up to the last @ that may still be userinfo: passwords with an unescaped / or @ are cut as well.
_USERINFO = re.compile(r"://(?:[^/?#\s]*@|[^/?#\s:]*:(?!\d+(?:[/?#\s]|$))\S*@)")
# In a query, a GStreamer property, or the path of cameras that write /user=admin_password=secret_channel=1.
_SECRET = re.compile(
    r"(?i)(?<![a-z])((?:user|username|user-id|login|pass|passwd|password|pwd|user-pw|token|secret|api[_-]?key|auth"
    r"|access[_-]key|signature|sig)=)(?:\"[^\"]*\"|(?:(?!_[a-z]+=)[^&\s!\"'])+)"
)


def redact(uri: str) -> str:
    """``uri`` (or a pipeline that holds some) without user names, passwords and tokens.

    >>> redact("rtsp://admin:12345@10.0.0.7/stream?token=abc")
    'rtsp://***@10.0.0.7/stream?token=***'
    """
    return _SECRET.sub(r"\1***", _USERINFO.sub("://***@", uri))


def scheme_of(uri: str) -> str:
    """The scheme in lower case, or "" for a path. ``gst:`` needs no slashes; one letter is a drive, not a scheme."""
    if uri.startswith("gst:"):
        return "gst"
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def query_of(uri: str, *allowed: str) -> dict[str, str]:
    """The query of ``uri`` as a mapping.

    Raises:
        InputError: a key that is not in ``allowed``, or one without a value; misspelt settings are never ignored.
    """
    pairs = parse_qsl(urlsplit(uri).query, keep_blank_values=True)
    for key, value in pairs:
        if key not in allowed or not value:
            raise InputError(
                f"{redact(uri)}: expected settings of the form {'= '.join(allowed)}=, found {key}={value!r}"
            )
    return dict(pairs)


def positive_int(settings: dict[str, str], key: str, *, minimum: int = 1, maximum: int = 1 << 16) -> int | None:
    """``settings[key]`` as a whole number, or None when absent. Raises InputError when it is not one in range."""
    text = settings.get(key)
    if text is None:
        return None
    if not text.isdecimal() or not minimum <= int(text) <= maximum:
        raise InputError(f"setting {key} must be a whole number from {minimum} to {maximum}, found {text!r}")
    return int(text)
