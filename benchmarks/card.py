"""Write what docs/edgedepth-s.md and README.md say of the default model, from committed results.

It goes between ``<!-- NAME -->`` and ``<!-- end -->``.

    python benchmarks/card.py

A table is the newest ``benchmarks/results`` of its benchmark; what the text around it says is not touched.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from edgedepth.output import atomic_output

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "docs" / "edgedepth-s.md", ROOT / "README.md")
NETWORKS = {
    "fp32": "edgedepth-s FP32",
    "fp16": "edgedepth-s FP16",
    "int8": "edgedepth-s INT8",
    "fastdepth": "FastDepth (trained on NYU)",
}
KNOWN = {
    "camera_height_and_gravity": "camera height and gravity",
    "camera_height_and_typed_pitch": "camera height and a pitch that was typed",
    "camera_height": "camera height alone",
    "gravity": "gravity alone",
    "nothing": "neither",
}


def newest(pattern: str) -> dict[str, Any]:
    """Results of the newest file whose name begins so."""
    results: dict[str, Any] = json.loads(sorted(RESULTS.glob(pattern))[-1].read_text())["results"]
    return results


def table(head: str, rows: list[list[str]]) -> str:
    """Markdown."""
    names = head.split(", ")
    return "\n".join(
        [f"| {' | '.join(names)} |", "|" + "---|" * len(names), *(f"| {' | '.join(row)} |" for row in rows)]
    )


def curve() -> str:
    """How accuracy grew."""
    return table("stage, pictures seen, minutes, AbsRel, delta1, person IoU", [
        [f"{row['stage']}, pass {row['epoch']}", f"{row['pictures_seen'] // 1000 * 1000:,}".replace(",", " "),
         str(row["minutes"]), *(f"{row[key]:.3f}" for key in ("val_abs_rel", "val_delta1", "val_person_iou"))]
        for row in newest("training-edgedepth-s-*")["validation"]
    ])  # fmt: skip


def accuracy(data: str, *, people: bool) -> str:
    """Means over one data set."""
    rows = []
    for name, label in NETWORKS.items():
        raw, aligned = (newest("accuracy-*")[name][data][how] for how in ("none", "median"))
        low, high = raw["absrel_interval95"]
        row = [label, f"{raw['mean']['absrel']:.3f} ({low:.3f}-{high:.3f})", f"{raw['mean']['delta1']:.3f}",
               f"{aligned['mean']['absrel']:.3f}", f"{aligned['mean']['delta1']:.3f}"]  # fmt: skip
        if people:
            iou = raw["mean"].get("person_iou")
            row.append("-" if iou is None else f"{iou:.3f}")
        rows.append(row)
    return table(", AbsRel raw (95 %), delta1 raw, AbsRel aligned, delta1 aligned" + ", person IoU" * people, rows)


def frames() -> str:
    """The real pictures one by one."""
    found = newest("accuracy-*")
    rows = []
    for frame in found["fp32"]["real"]["none"]["each"]:
        each = [found[name]["real"][how]["each"][frame] for name in ("fp32", "fastdepth") for how in ("none", "median")]
        rows.append([frame, *(f"{one['absrel']:.3f} / {one['delta1']:.3f}" for one in each)])
    return table("frame, edgedepth-s raw, aligned, FastDepth raw, aligned", rows)


def sizes() -> str:
    """What the input's size costs and brings."""
    return table("input, AbsRel raw, delta1 raw, AbsRel aligned, person IoU, time of the network, of 256x192's", [
        [row["size"], *(f"{row[key]:.3f}" for key in ("absrel", "delta1", "absrel_aligned", "person_iou")),
         f"{row['network_ms']:.1f} ms", f"{row['time_ratio']:.2f}"]
        for row in newest("input-size-*")["sizes"]
    ])  # fmt: skip


def heights() -> str:
    """Heights over clips."""
    rows = []
    for name, label in KNOWN.items():
        one = newest("height-mono-*")[name]
        rows.append([label, str(one["people"]), str(one["measured"]), f"{one['mae_cm']:.1f} cm",
                     f"{one['median_cm']:.1f} cm", f"{one['bias_cm']:+.1f} cm",
                     f"{100 * one['coverage']['0.95']:.1f} %"])  # fmt: skip
    return table(
        "known, people, measured, mean error, median error, bias, truth inside the 95 % interval", rows
    )  # fmt: skip


def main() -> None:
    """See the module."""
    tables = {
        "curve": curve,
        "rooms": lambda: accuracy("synthetic", people=True),
        "real": lambda: accuracy("real", people=False),
        "frames": frames,
        "sizes": sizes,
        "heights": heights,
    }
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"<!-- (\w+) -->", text):
            if name != "end":
                text = re.sub(
                    rf"(<!-- {name} -->\n).*?(\n<!-- end -->)",
                    lambda found, name=name: found[1] + tables[name]() + found[2],  # type: ignore[misc]
                    text, flags=re.DOTALL,
                )  # fmt: skip
        with atomic_output(page) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
