"""Fixtures shared by every test."""

from __future__ import annotations

from pathlib import Path

import pytest

REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Real captures and trained networks, kept beside the project and not in it."""
    if not REALDATA.is_dir():
        pytest.skip("needs ../shared/realdata beside the checkout (real captures, not part of the project)")
    return REALDATA
