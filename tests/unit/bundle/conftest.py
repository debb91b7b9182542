"""A network on disk, with its weights inside it or beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from networks import write_network

MakeOnnx = Callable[..., Path]


@pytest.fixture
def make_onnx(tmp_path: Path) -> MakeOnnx:
    """make_onnx("a.onnx", external="a.weights") -> its path."""

    def make(name: str = "net.onnx", *, external: str | None = None) -> Path:
        return write_network(tmp_path / "made" / name, external=external)

    return make
