"""How a command ends that refuses what was typed or handed in."""

from __future__ import annotations

from typing import Any


def refused(ended: Any, *words: str) -> None:
    """Exit code 2, nothing on standard output, and one line on standard error that holds ``words``."""
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.err.startswith("edgedepth: error: ")
    assert ended.err.count("\n") == 1, "one line"
    for word in words:
        assert word in ended.err
