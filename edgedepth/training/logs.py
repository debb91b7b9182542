"""The curve of a training: CSV, and TensorBoard beside it. Both are cut back to the step that training resumes at."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgedepth.extras import require
from edgedepth.output import atomic_output, output_errors

__all__ = ["Logs", "read_curve"]


class Logs:
    """Rows of numbers by step.

    Args:
        folder: gets ``curve.csv`` and ``tensorboard/``.
        columns: of the CSV, after ``step``.
        after_step: rows of later steps are dropped: they are about to be made again.

    Raises:
        OutputError: it cannot be written. MissingExtraError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, columns: Sequence[str], after_step: int = 0) -> None:
        writer = require("torch.utils.tensorboard", "train").SummaryWriter
        self.path = folder / "curve.csv"
        self.columns = ("step", *columns)
        kept = [row for row in read_curve(self.path) if int(row["step"]) <= after_step] if after_step else []
        with atomic_output(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            rows = csv.DictWriter(file, self.columns, extrasaction="ignore")
            rows.writeheader()
            rows.writerows(kept)
        self._board = writer(str(folder / "tensorboard"), purge_step=after_step + 1 if after_step else None)

    def write(self, step: int, values: Mapping[str, float | str]) -> None:
        """One row. Numbers are written in full, so that two curves can be compared to the last bit."""
        text = io.StringIO()
        csv.DictWriter(text, self.columns).writerow({"step": step, **values})
        with output_errors(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(text.getvalue())
        for name, value in values.items():
            if not isinstance(value, str) and math.isfinite(value):
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what TensorBoard holds back."""
        self._board.close()


def read_curve(path: Path) -> list[dict[str, str]]:
    """The rows of a ``curve.csv``; none where there is no file. A last line that a crash cut short is left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if None not in row.values() and row["step"].isdigit()]
