"""On a GPU: the CUDA seam itself, and the preprocess kernel against the CPU path."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
from frame_feeds import CASES, Case
from kernel_runs import check_pixels, check_values, kernel_tensors

from edgedepth.backends.tensorrt.cuda import CudaApi
from edgedepth.backends.tensorrt.kernels import compile_kernels
from edgedepth.backends.tensorrt.tensors import allocate_buffer
from edgedepth.errors import CudaError

pytestmark = pytest.mark.gpu


def test_the_gpu_is_described(cuda: CudaApi) -> None:
    device = cuda.device
    assert device.name
    assert device.sm >= (7, 5)
    assert device.sm_count > 0
    assert device.cuda_driver_version >= 12000
    with cuda.current():
        free, total = cuda.memory_info()
    assert 0 < free <= total
    assert total <= device.memory_bytes * 1.01


@pytest.mark.parametrize("mapped", [False, True])
def test_bytes_go_there_and_come_back(cuda: CudaApi, mapped: bool) -> None:
    random = np.random.default_rng(1)
    with cuda.current(), ExitStack() as keep:
        stream = cuda.stream()
        keep.callback(cuda.destroy_stream, stream)
        address = cuda.allocate(1 << 20)
        keep.callback(cuda.free, address)
        there, back = (cuda.host_memory(1 << 20, mapped=mapped) for _ in range(2))
        assert (there.address is not None) is mapped
        there.array[:] = random.integers(0, 256, 1 << 20, dtype=np.uint8)
        cuda.copy_to_device(address, there.array, stream)
        cuda.copy_to_host(back.array, address, stream)
        cuda.synchronize(stream)
        np.testing.assert_array_equal(back.array, there.array)


def test_a_graph_replays_with_new_data(cuda: CudaApi) -> None:
    if not cuda.has_graphs:
        pytest.skip(f"{cuda.provider} has no CUDA graphs")
    with cuda.current(), ExitStack() as keep:
        stream = cuda.stream()
        keep.callback(cuda.destroy_stream, stream)
        source = allocate_buffer(cuda, keep, (256,), np.dtype(np.uint8))
        address = cuda.allocate(256)
        keep.callback(cuda.free, address)
        staging, result = cuda.host_memory(256, mapped=False), cuda.host_memory(256, mapped=False)
        cuda.begin_capture(stream)
        cuda.copy_to_device(address, staging.array, stream)
        cuda.copy_to_host(result.array, address, stream)
        graph = cuda.end_capture(stream)
        keep.callback(cuda.destroy_graph, graph)
        for value in (3, 200):
            staging.array[:] = value
            cuda.launch_graph(graph, stream)
            cuda.synchronize(stream)
            assert (result.array == value).all()
        assert source.host.shape == (256,)


def test_an_allocation_in_a_capture_ends_it_and_the_stream_goes_on(cuda: CudaApi) -> None:
    if not cuda.has_graphs:
        pytest.skip(f"{cuda.provider} has no CUDA graphs")
    with cuda.current(), ExitStack() as keep:
        stream = cuda.stream()
        keep.callback(cuda.destroy_stream, stream)
        cuda.begin_capture(stream)
        with pytest.raises(CudaError):
            cuda.synchronize(stream)  # cannot be captured
        with pytest.raises(CudaError):
            cuda.end_capture(stream)
        cuda.synchronize(stream)


def test_too_much_memory_is_said_to_be(cuda: CudaApi) -> None:
    with cuda.current(), pytest.raises(CudaError, match="memory is full"):
        cuda.allocate(1 << 50)
    with cuda.current():
        cuda.free(cuda.allocate(1 << 20))  # and nothing is broken by it


def test_a_module_for_another_gpu_is_refused(cuda: CudaApi) -> None:
    with cuda.current(), pytest.raises(CudaError):
        cuda.load_module(b"\x7fELF not a cubin" * 100)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kernel_is_the_cpu_path(cuda: CudaApi, case: Case) -> None:
    image = compile_kernels(cuda.device.sm)
    frame = case.image()
    check_pixels(case.bytes_spec(), kernel_tensors(cuda, image, case.bytes_spec(), [frame])[0], frame)
    check_values(case.spec, kernel_tensors(cuda, image, case.spec, [frame])[0], frame)
