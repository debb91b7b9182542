"""A network in torch behind the Backend seam: evaluated exactly as its ONNX, OpenVINO or TensorRT form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgedepth.backends.base import TensorSpec
from edgedepth.backends.loaded import BaseBackend
from edgedepth.errors import BackendError
from edgedepth.models.base import DepthNetwork

__all__ = ["TorchBackend"]

_FLOAT32 = np.dtype(np.float32)


class TorchBackend(BaseBackend):
    """Runs a DepthNetwork, one image at a time, in evaluation mode and without gradients.

    Args:
        network: put into evaluation mode and moved to ``device``; its weights are shared with replicas.
        height, width: the input's size, multiples of ``network.size_multiple``.
        device: ``"cpu"``, ``"cuda"``; None leaves the network where it is.

    The input is ``image``, float32 1 x 3 x height x width; the outputs are the network's ``output_names``, each 1 x 1
    and a plane whose size is the network's affair.
    """

    def __init__(self, network: DepthNetwork, height: int, width: int, *, device: str | None = None) -> None:
        self._network = network.eval()
        if device is not None:
            self._network.to(device)
        self._device = next(network.parameters()).device
        super().__init__(
            f"torch:{self._device.type}",
            (TensorSpec("image", _FLOAT32, (1, 3, height, width)),),
            tuple(TensorSpec(name, _FLOAT32, (1, 1, None, None)) for name in network.output_names),
        )

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        try:
            with torch.inference_mode():
                image = torch.from_numpy(np.ascontiguousarray(feeds["image"])).to(self._device)
                answer = self._network(image)
                planes = answer if isinstance(answer, tuple) else (answer,)
                arrays = [plane.float().cpu().numpy() for plane in planes]
        except RuntimeError as error:  # torch's own, out of memory among them
            raise BackendError(
                f"the network failed in torch on {self._device}: {error}; another size or device may do"
            ) from error
        return dict(zip(self._network.output_names, arrays, strict=True))

    def _replica(self) -> TorchBackend:
        _, _, height, width = self.inputs[0].shape
        assert height is not None
        assert width is not None
        return TorchBackend(self._network, height, width)

    def _release(self) -> None:
        del self._network
