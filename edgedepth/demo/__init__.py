"""The packaged clip through the runtime, held against its truth, and a report of it. What ``edgedepth demo`` runs."""

from edgedepth.demo.play import Played, Speed, measure_speed, play
from edgedepth.demo.report import MADE_BY, is_demo_folder, summary_of, write_report
from edgedepth.demo.scores import DemoScores, FrameScore, PersonScore, score

__all__ = [
    "MADE_BY",
    "DemoScores",
    "FrameScore",
    "PersonScore",
    "Played",
    "Speed",
    "is_demo_folder",
    "measure_speed",
    "play",
    "score",
    "summary_of",
    "write_report",
]
