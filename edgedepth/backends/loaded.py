"""What every backend here does alike once its network is loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from edgedepth.backends.base import TensorSpec
from edgedepth.backends.feeds import check_feeds
from edgedepth.closing import Closing
from edgedepth.errors import BackendError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BaseBackend"]


class BaseBackend(Closing, ABC):
    """A Backend that checks its feeds, closes once, refuses to run afterwards, and is a context manager.

    A subclass implements ``_run`` (of feeds that fit), ``_replica`` and ``_release``.
    """

    def __init__(self, name: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self._name, self._inputs, self._outputs = name, inputs, outputs
        self._closed = False

    @property
    def name(self) -> str:
        """See Backend.name."""
        return self._name

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """See Backend.inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """See Backend.outputs."""
        return self._outputs

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """See Backend.run."""
        self._require_open()
        check_feeds(self._inputs, feeds)
        return self._run(feeds)

    def replica(self) -> Self:
        """See Backend.replica."""
        self._require_open()
        return self._replica()

    def close(self) -> None:
        """See Backend.close. What is shared goes with its last replica."""
        if not self._closed:
            self._closed = True
            self._release()

    def _require_open(self) -> None:
        if self._closed:
            raise BackendError("this backend is closed; open the network again")

    @abstractmethod
    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]: ...

    @abstractmethod
    def _replica(self) -> Self: ...

    @abstractmethod
    def _release(self) -> None: ...
