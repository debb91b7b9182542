"""What ``edgedepth demo`` measures on this machine: live in FP32 and INT8, and as fast as it goes.

    python benchmarks/demo.py [--picture docs/images/demo.jpg]

``--picture`` also keeps one frame of the demo's video, for the front page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
from record import Record

RUNS = {"live_fp32": [], "live_int8": ["--precision", "int8"], "file_fp32": ["--fast"]}
PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime")
PICTURE_FRAME = 110
"""Both people are whole in it."""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/demo-DEVICE-DATE.json")
    arguments = parser.parse_args()
    record = Record("demo", arguments.output, file_name="demo-{device}-{date}.json", packages=PACKAGES)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in RUNS.items():
            command = [sys.executable, "-m", "edgedepth", "demo", "--json", "-o", name, *options]
            # The summary names what it wrote: relative to here it says nothing of the machine.
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder)
            results[name] = json.loads(done.stdout)
        if arguments.picture:
            video = cv2.VideoCapture(str(Path(folder) / "live_fp32" / "depth.mp4"))
            video.set(cv2.CAP_PROP_POS_FRAMES, PICTURE_FRAME)
            found, image = video.read()
            if not found:
                raise SystemExit("demo: error: the demo's video cannot be read")
            image = cv2.resize(image, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(arguments.picture), image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    record.write({}, results)


if __name__ == "__main__":
    main()
