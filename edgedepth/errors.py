"""The exceptions of EdgeDepth.

Every error the package raises on purpose is one of these. A message says what was expected, what was found and
what to do, in one line; the command line prints that line and exits with code 2.

::

    EdgeDepthError
    ├── InputError                  what the caller handed in is wrong
    │   ├── IntrinsicsError         focal length, distortion or resolution that cannot be true
    │   ├── SpecError               a model spec that is malformed or disagrees with its network
    │   ├── BundleError             a bundle that is incomplete, altered or unreadable
    │   ├── RecipeError             an export recipe that is malformed, unknown or lacks what was asked of it
    │   ├── CheckpointError         trained weights that are missing, unsafe to load or belong to another network
    │   ├── CalibrationSetError     an image set that cannot calibrate INT8: too few, blank or noise
    │   ├── DataError               a data set, or a sample of it, that is missing, corrupt or of another format
    │   └── OutputError             a place to write to that cannot be written (also a full disk)
    │       └── ReaderGone          the reader of a pipe went away, as head does
    ├── SourceError                 where frames come from
    │   ├── SourceNotFound          no such file, camera, host or stream
    │   ├── SourceAuthError         the stream refused the credentials
    │   ├── SourceLost              was running and stopped giving frames
    │   ├── FrameTimeout            no frame within the time asked for; reading again may succeed
    │   ├── FrameInvalid            a frame that must not reach a network: empty, black, stale or undecodable
    │   └── EndOfStream             the normal end of a file, not a failure
    ├── BackendError                a network could not be loaded or run
    │   ├── BackendUnavailable      the library, provider or device is missing; says what installs it
    │   ├── GateError               it runs, and its numbers are not the bundle's
    │   └── EngineError             a TensorRT engine that cannot be built, or is stale, foreign or corrupted
    │       └── CudaError           the CUDA driver or runtime reported an error
    ├── ExportError                 a network could not be turned into the graph asked for
    │   ├── ParityError             the exported graph does not give the network's numbers
    │   └── BudgetError             a precision costs more accuracy than allowed, or brings no speed
    ├── TrainingError               training cannot go on: memory, or a loss that is no number
    ├── SinkError                   a consumer of results failed
    ├── MeasurementRefused          the number cannot be trusted; ``reason`` says why
    │   └── NotMetricError          metres asked of depth that has no scale
    └── MissingExtraError           an optional dependency is not installed; says the pip line
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "BackendUnavailable",
    "BudgetError",
    "BundleError",
    "CalibrationSetError",
    "CheckpointError",
    "CudaError",
    "DataError",
    "EdgeDepthError",
    "EndOfStream",
    "EngineError",
    "ExportError",
    "FrameInvalid",
    "FrameTimeout",
    "GateError",
    "InputError",
    "IntrinsicsError",
    "MeasurementRefused",
    "MissingExtraError",
    "NotMetricError",
    "OutputError",
    "ParityError",
    "ReaderGone",
    "RecipeError",
    "SinkError",
    "SourceAuthError",
    "SourceError",
    "SourceLost",
    "SourceNotFound",
    "SpecError",
    "TrainingError",
]


class EdgeDepthError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(EdgeDepthError):
    """What the caller handed in is wrong."""


class IntrinsicsError(InputError):
    """Camera intrinsics that cannot be true, or that belong to another resolution."""


class SpecError(InputError):
    """A model spec that is malformed or disagrees with its network."""


class BundleError(InputError):
    """A model bundle that is incomplete, altered or unreadable."""


class RecipeError(InputError):
    """An export recipe that is malformed, unknown, or lacks what was asked of it."""


class CheckpointError(InputError):
    """Trained weights that are missing, unsafe to load, or belong to another network."""


class CalibrationSetError(InputError):
    """An image set that cannot calibrate INT8: too few images, blank ones, or noise."""


class DataError(InputError):
    """A data set, or one sample of it, that is missing, corrupt, or of another format than said."""


class OutputError(InputError):
    """A place to write to that cannot be written."""


class ReaderGone(OutputError):
    """The program that reads what is written has ended, as ``head`` does; seldom a mistake."""


class SourceError(EdgeDepthError):
    """Something about where frames come from."""


class SourceNotFound(SourceError):
    """No such file, camera, host or stream."""


class SourceAuthError(SourceError):
    """The stream refused the credentials."""


class SourceLost(SourceError):
    """The source was running and stopped giving frames."""


class FrameTimeout(SourceError):
    """No frame within the time asked for. Reading again may succeed."""


class FrameInvalid(SourceError):
    """A frame that must not reach a network: empty, black, stale or undecodable."""


class EndOfStream(SourceError):
    """The normal end of a file or a finite stream; not a failure."""


class BackendError(EdgeDepthError):
    """A network could not be loaded or run."""


class BackendUnavailable(BackendError):
    """The library, execution provider or device a backend needs is missing."""


class GateError(BackendError):
    """A backend that runs and does not give the bundle's numbers."""


class EngineError(BackendError):
    """A TensorRT engine that cannot be built, or is stale, foreign or corrupted."""


class CudaError(EngineError):
    """The CUDA driver or runtime reported an error."""


class ExportError(EdgeDepthError):
    """A network could not be turned into the graph that was asked for."""


class ParityError(ExportError):
    """The exported graph does not give the network's numbers."""


class BudgetError(ExportError):
    """A precision that costs more accuracy than allowed, or brings no speed here."""


class TrainingError(EdgeDepthError):
    """Training cannot go on: out of memory, or a loss that is no number."""


class SinkError(EdgeDepthError):
    """A consumer of results failed."""


class MeasurementRefused(EdgeDepthError):
    """A number that cannot be trusted, so it is not given.

    Attributes:
        reason: a short stable identifier (``"crown_cut_off"``) a program can branch on.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotMetricError(MeasurementRefused):
    """Metres were asked of depth that has no scale."""

    def __init__(self, message: str) -> None:
        super().__init__("not_metric", message)


class MissingExtraError(EdgeDepthError):
    """An optional dependency is not installed."""
