"""The HTML report: one file, nothing from outside, with the numbers and the pictures of the worst frames."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib")

from datasets import write_diw
from scored_rooms import Crooked, write_rooms

from edgedepth.data import open_dataset
from edgedepth.errors import OutputError
from edgedepth.evaluation.plots import worst_examples
from edgedepth.evaluation.report_html import html_report, write_html
from edgedepth.evaluation.runner import evaluate


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.sources += [value for name in ("src", "href") if (value := values.get(name))]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_of_two_estimators(tmp_path: Path) -> None:
    manifest = write_rooms(tmp_path, 4)
    (tmp_path / "1_depth.png").write_bytes(b"<b>broken")
    dataset = open_dataset(manifest, "rgbd")
    estimators = [Crooked(1.1), Crooked(0.7)]
    estimators[1].name = "<script>alert(1)</script>"
    reports = [evaluate(estimator, dataset, "rgbd") for estimator in estimators]
    examples = {n: worst_examples(estimators[n], dataset, reports[n]) for n in range(2)}
    assert [example.record.id for example in examples[0]] == list(reports[0].worst)
    np.testing.assert_allclose(
        examples[0][0].found.values[~np.isnan(examples[0][0].truth_m)],
        1.1 * examples[0][0].truth_m[~np.isnan(examples[0][0].truth_m)],
        rtol=1e-5,
    )
    out = tmp_path / "report.html"
    write_html(out, reports, examples)
    text = out.read_text()
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.sources
    assert all(source.startswith("data:image/png;base64,") for source in tags.sources)
    assert len(tags.sources) == 2 + 3 + 3, "two plots, three worst frames each"
    for source in tags.sources:
        assert cv2.imdecode(np.frombuffer(base64.b64decode(source.split(",")[1]), np.uint8), 1).std() > 5
    assert "<script" not in text
    assert "0.1000" in text
    assert "0.3000" in text
    assert "alignment</dt><dd>none" in text
    assert "<dt>truth</dt><dd>0.1 - 10 m, both ends excluded; crop: none; prediction not clipped</dd>" in text
    assert re.search(r"Skipped</h2><ul><li><b>room_1</b>", text)
    with pytest.raises(OutputError):
        write_html(tmp_path / "none" / "r.html", reports)


def test_a_report_of_ordinal_pairs(tmp_path: Path) -> None:
    write_diw(tmp_path)
    dataset = open_dataset(tmp_path, "diw")

    class Flat(Crooked):
        def estimate(self, frame, out=None):
            from edgedepth.types import DepthMap

            height, width = frame.image.shape[:2]
            return DepthMap(np.tile(np.linspace(1, 2, width, dtype=np.float32), (height, 1)), self.kind)

    report = evaluate(Flat(), dataset, "diw")
    text = html_report([report], {0: worst_examples(Flat(), dataset, report)})
    assert "WHDR" in text
    assert "<dt>truth</dt><dd>ordinal pairs</dd>" in text, "and no range of depth, which pairs do not have"
    assert text.count("<img") == len(report.worst), "no histogram of a number there is not"
