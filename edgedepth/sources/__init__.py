"""Where frames come from: ``open_source(uri)``, the Source seam, and a fake of it.

A new kind is one file with a Grabber (``grabber.py``) and one line in ``factory.py``, or a package of its own with an
entry point in the group ``edgedepth.sources``.
"""

from edgedepth.sources._uri import redact
from edgedepth.sources.base import Source, SourceOpener, SourceOptions
from edgedepth.sources.discover import FoundSource, list_sources
from edgedepth.sources.factory import known_schemes, open_source
from edgedepth.sources.fake import FakeSource

__all__ = [
    "FakeSource",
    "FoundSource",
    "Source",
    "SourceOpener",
    "SourceOptions",
    "known_schemes",
    "list_sources",
    "open_source",
    "redact",
]
