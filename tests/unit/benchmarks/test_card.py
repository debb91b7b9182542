"""The model card says what the committed results say."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

import card  # noqa: E402


@pytest.mark.parametrize("page", card.PAGES, ids=lambda page: page.name)
def test_what_it_says_is_of_the_newest_results(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = tmp_path / "page.md"
    shutil.copyfile(page, again)
    monkeypatch.setattr(card, "PAGES", (again,))
    card.main()
    assert again.read_text() == page.read_text(), "run python benchmarks/card.py"


def test_a_number_goes_from_the_results_into_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"stage": "small", "epoch": 2, "pictures_seen": 41_999, "minutes": 7, "val_abs_rel": 0.21949,
         "val_delta1": 0.7, "val_person_iou": 0.55}
    ]  # fmt: skip
    for day, found in (("2026-01-02", rows), ("2026-01-01", [])):
        results = {"results": {"validation": found}}
        (tmp_path / f"training-edgedepth-s-box-{day}.json").write_text(json.dumps(results))
    text = tmp_path / "card.md"
    text.write_text("Before.\n\n<!-- curve -->\nold\n<!-- end -->\n\nAfter.\n")
    monkeypatch.setattr(card, "RESULTS", tmp_path)
    monkeypatch.setattr(card, "PAGES", (text,))
    card.main()
    assert text.read_text().splitlines() == [
        "Before.", "", "<!-- curve -->",
        "| stage | pictures seen | minutes | AbsRel | delta1 | person IoU |",
        "|---|---|---|---|---|---|",
        "| small, pass 2 | 41 000 | 7 | 0.219 | 0.700 | 0.550 |",
        "<!-- end -->", "", "After.",
    ]  # fmt: skip
