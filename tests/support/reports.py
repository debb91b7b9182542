"""A precision report with round numbers."""

from __future__ import annotations

from edgedepth.bundle import FrameSet, PrecisionReport, PrecisionRow


def make_report(**changes: object) -> PrecisionReport:
    """FP32 and FP16 of one network on two rooms."""
    rows = tuple(
        PrecisionRow(
            precision=precision,
            abs_rel=0.1,
            delta1=0.9,
            rmse_m=0.4,
            relative_error=error,
            max_relative_error=10 * error,
            scale_ratio=1 + error,
            scale_spread=error,
            nan_inf=0,
            size_mb=size_mb,
            latency_ms_p50=5.0,
            latency_ms_p95=6.0,
        )
        for precision, error, size_mb in (("fp32", 0.0, 5.0), ("fp16", 0.001, 2.5))
    )
    fields = {
        "date": "2026-01-02T03:04:05+00:00", "host": "a board", "backend": "onnxruntime:cpu",
        "versions": {"edgedepth": "0"}, "frame_set": FrameSet(name="rooms", frames=2, truth="sensor"), "rows": rows,
        "verdict": "fp16 passed",
    }  # fmt: skip
    return PrecisionReport.model_validate(fields | changes)
