"""What runs a network: onnxruntime, openvino, a fake for tests, and plugins, all opened by ``open_backend``."""

from edgedepth.backends.base import (
    Backend,
    BackendOptions,
    EngineOptions,
    ImageBackend,
    ImageFeed,
    Mode,
    ProvableBackend,
    TensorSpec,
)
from edgedepth.backends.factory import available_backends, open_backend
from edgedepth.backends.fake import FakeBackend
from edgedepth.backends.loaded import BaseBackend

__all__ = [
    "Backend",
    "BackendOptions",
    "BaseBackend",
    "EngineOptions",
    "FakeBackend",
    "ImageBackend",
    "ImageFeed",
    "Mode",
    "ProvableBackend",
    "TensorSpec",
    "available_backends",
    "open_backend",
]
