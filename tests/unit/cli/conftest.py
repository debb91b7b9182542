"""The command line, run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from edgedepth.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def edgedepth(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run ``edgedepth ARGUMENTS`` and tell how it ended."""

    def call(*arguments: Any) -> Ended:
        monkeypatch.setattr("sys.argv", ["edgedepth", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else 0 if exit.code is None else 1
        captured = capfd.readouterr()
        return Ended(code, captured.out, captured.err)

    return call
