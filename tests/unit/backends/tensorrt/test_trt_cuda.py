"""The seam to CUDA: what is said where CUDA is missing, and that each provider's functions are called as they are."""

from __future__ import annotations

import ctypes
import re
import sys
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import numpy as np
import pytest
from fake_pycuda import FakePyCuda

from edgedepth.backends import open_backend
from edgedepth.backends.tensorrt import cuda as seam
from edgedepth.backends.tensorrt.cuda import CudaApi, cuda_error, open_cuda
from edgedepth.backends.tensorrt.cuda_bindings import _Bindings
from edgedepth.backends.tensorrt.cuda_pycuda import _PyCuda
from edgedepth.backends.tensorrt.gpu import GpuDevice
from edgedepth.errors import BackendUnavailable, CudaError, EngineError, InputError


class Job(ctypes.Structure):
    _fields_ = (("frame", ctypes.c_void_p), ("pitch", ctypes.c_int))


def use_everything(cuda: CudaApi) -> None:
    """Every operation once, as the runtime uses them."""
    with cuda.current():
        assert cuda.memory_info() == (1000, 2000)
        stream, start, end = cuda.stream(), cuda.event(blocking=False), cuda.event(blocking=True)
        address = cuda.allocate(64)
        staging, mapped = cuda.host_memory(64, mapped=False), cuda.host_memory(64, mapped=True)
        assert staging.address is None
        assert mapped.address is not None
        staging.array[:] = 7
        cuda.copy_to_device(address, staging.array, stream)
        cuda.copy_to_host(mapped.array[:32], address, stream)
        module = cuda.load_module(b"cubin")
        kernel = cuda.kernel(module, "preprocess_4")
        cuda.launch(kernel, (2, 3, 1), (32, 8, 1), Job(address, 48), stream)
        cuda.record(start, stream)
        cuda.record(end, stream)
        cuda.wait(end)
        assert cuda.elapsed_ms(start, end) == 1.5
        cuda.synchronize(stream)
        if cuda.has_graphs:
            cuda.begin_capture(stream)
            graph = cuda.end_capture(stream)
            cuda.launch_graph(graph, stream)
            cuda.destroy_graph(graph)
        cuda.unload(module)
        cuda.free(address)
        cuda.destroy_event(start)
        cuda.destroy_event(end)
        cuda.destroy_stream(stream)
    cuda.close()
    cuda.close()


# What is said where CUDA is missing.


def has_gpu() -> bool:
    try:
        with open_cuda().current():
            return True
    except BackendUnavailable:
        return False


def test_a_library_without_a_gpu_names_the_driver() -> None:
    pytest.importorskip("cuda.bindings")
    if has_gpu():
        pytest.skip("there is a GPU here")
    with pytest.raises(
        BackendUnavailable, match=r"cudaGetDeviceCount gave cudaError(InsufficientDriver|NoDevice).*; "
    ) as caught:
        open_cuda("cuda.bindings")
    assert "pip install" not in str(caught.value)
    assert re.search("driver|nvidia-smi", str(caught.value))
    assert "\n" not in str(caught.value)


def test_the_backend_says_so_too(tmp_path) -> None:
    pytest.importorskip("cuda.bindings")
    pytest.importorskip("tensorrt_rtx")
    if has_gpu():
        pytest.skip("there is a GPU here")
    path = tmp_path / "net.onnx"
    path.write_bytes(b"never read")
    with pytest.raises(BackendUnavailable, match=r"driver|nvidia-smi"):
        open_backend(path, name="tensorrt")


def test_no_library_at_all_says_what_installs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> None:
        if name == "cuda.bindings":  # as without even a package called cuda
            raise ModuleNotFoundError(name)

    monkeypatch.setattr(seam, "find_spec", find)
    for prefer in (None, "cuda.bindings", "pycuda"):
        with pytest.raises(BackendUnavailable, match="pip install cuda-python"):
            open_cuda(prefer)


def test_a_library_that_does_not_import_is_passed_over_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seam, "find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(BackendUnavailable, match=r"cuda\.bindings: .*pycuda: .*pip install cuda-python") as caught:
        open_cuda()
    assert "\n" not in str(caught.value)


def test_unknown_library_is_refused() -> None:
    with pytest.raises(InputError, match=r"cupy.*cuda\.bindings, pycuda"):
        open_cuda("cupy")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "kind", "advice"),
    [
        ("cudaErrorMemoryAllocation", CudaError, "memory is full"),
        ("CUDA_ERROR_OUT_OF_MEMORY", CudaError, "memory is full"),
        ("out of memory", CudaError, "memory is full"),
        ("cudaErrorIllegalAddress", CudaError, "start the program again"),
        ("an illegal memory access was encountered", CudaError, "start the program again"),
        ("cudaErrorLaunchFailure", CudaError, "start the program again"),
        ("cudaErrorInsufficientDriver", BackendUnavailable, "driver is missing .*; without .* use another backend"),
        ("cudaErrorNoDevice", BackendUnavailable, "nvidia-smi"),
        ("no CUDA-capable device is detected", BackendUnavailable, "nvidia-smi"),
        ("invalid device ordinal", BackendUnavailable, "of that number"),
        ("cudaErrorInvalidDevice", BackendUnavailable, "of that number"),
        ("CUDA_ERROR_NO_BINARY_FOR_GPU", CudaError, "NVRTC"),
        ("cudaErrorInvalidDeviceFunction", CudaError, "NVRTC"),
        ("cudaErrorStreamCaptureUnsupported", CudaError, "captured"),
        ("cudaErrorSomethingNew", CudaError, "report"),
    ],
)
def test_statuses_say_what_to_do(name: str, kind: type[Exception], advice: str) -> None:
    error = cuda_error("cudaMalloc", name, "as CUDA puts it")
    assert type(error) is kind
    assert re.search(rf"cudaMalloc gave {name} \(as CUDA puts it\); .*{advice}", str(error))
    assert issubclass(CudaError, EngineError)


# cuda.bindings: called with the names, the number of arguments and the enumerations of the installed version.


class Recorded:
    """A module of cuda.bindings whose functions check how they are called and answer as told."""

    def __init__(self, real, answers: dict[str, tuple[object, ...]], fail: dict[str, object]) -> None:
        self._real, self._answers, self._fail = real, answers, fail
        self.calls: list[tuple[str, tuple[object, ...]]] = []

    def __getattr__(self, name: str):
        real = getattr(self._real, name)  # a name that is not there fails here
        if not name.startswith(("cuda", "cu")) or not callable(real) or isinstance(real, type):
            return real
        if name.endswith(("GetErrorName", "GetErrorString")):
            return real
        wanted = count_parameters(real)

        def function(*arguments: object) -> tuple[object, ...]:
            assert len(arguments) == wanted, f"{name} takes {wanted} arguments, got {arguments}"
            self.calls.append((name, arguments))
            success = self._real.cudaError_t(0) if hasattr(self._real, "cudaError_t") else self._real.CUresult(0)
            return (self._fail.get(name, success), *self._answers.get(name, ()))

        function.__name__ = name
        return function


def count_parameters(function) -> int:
    """From the signature that heads the documentation: these are compiled functions."""
    signature = function.__doc__.strip().splitlines()[0]
    inside = signature[signature.index("(") + 1 : signature.rindex(")")]
    inside = re.sub(r"\[[^\[\]]*(\[[^\[\]]*\][^\[\]]*)*\]", "", inside)  # commas within a type
    return len([part for part in inside.split(",") if part.strip()])


@pytest.fixture
def bindings():
    pytest.importorskip("cuda.bindings")
    from cuda.bindings import driver, runtime

    keep = (ctypes.c_ubyte * 64)()
    properties = SimpleNamespace(name=b"Orin\0", totalGlobalMem=8 << 30)
    attributes = iter([8, 7, 16, 1])
    answers: dict[str, tuple[object, ...]] = {
        "cudaGetDeviceCount": (1,),
        "cudaGetDevice": (0,),
        "cudaDriverGetVersion": (12060,),
        "cudaGetDeviceProperties": (properties,),
        "cudaMemGetInfo": (1000, 2000),
        "cudaMalloc": (0x1000,),
        "cudaHostAlloc": (ctypes.addressof(keep),),
        "cudaHostGetDevicePointer": (0x2000,),
        "cudaStreamCreateWithFlags": (11,),
        "cudaEventCreateWithFlags": (12,),
        "cudaEventElapsedTime": (1.5,),
        "cudaStreamEndCapture": (13,),
        "cudaGraphInstantiate": (14,),
        "cudaGetLastError": (),
        "cuModuleLoadData": (15,),
        "cuModuleGetFunction": (16,),
    }
    fail: dict[str, object] = {}

    class Runtime(Recorded):
        def __getattr__(self, name: str):
            if name == "cudaDeviceGetAttribute":
                self._answers[name] = (next(attributes),)
            return super().__getattr__(name)

    rt, drv = Runtime(runtime, answers, fail), Recorded(driver, answers, fail)
    yield SimpleNamespace(rt=rt, drv=drv, answers=answers, fail=fail, real=(runtime, driver), keep=keep)


def test_cuda_bindings_are_called_as_they_are(bindings) -> None:
    cuda = _Bindings(bindings.rt, bindings.drv, 0)
    assert cuda.device == GpuDevice("Orin", (8, 7), 16, 12060, True, 8 << 30)
    use_everything(cuda)
    called = [name for name, _ in (*bindings.rt.calls, *bindings.drv.calls)]
    for made, gone in (
        ("cudaMalloc", "cudaFree"),
        ("cudaHostAlloc", "cudaFreeHost"),
        ("cudaStreamCreateWithFlags", "cudaStreamDestroy"),
        ("cudaEventCreateWithFlags", "cudaEventDestroy"),
        ("cudaGraphInstantiate", "cudaGraphExecDestroy"),
        ("cudaStreamEndCapture", "cudaGraphDestroy"),
        ("cuModuleLoadData", "cuModuleUnload"),
    ):
        extra = 1 if gone == "cudaFree" else 0  # the call that makes the context
        assert called.count(made) == called.count(gone) - extra > 0
    assert "cudaDeviceReset" not in called  # the context is everybody's
    launch = dict(bindings.drv.calls)["cuLaunchKernel"]
    assert launch[:9] == (16, 2, 3, 1, 32, 8, 1, 0, 11)


def test_cuda_bindings_understand_plain_integers() -> None:
    """Handles are integers here: the compiled functions must take them. Without a driver they answer with a status."""
    pytest.importorskip("cuda.bindings")
    if has_gpu():
        pytest.skip("there is a GPU here, which these handles would confuse")
    from cuda.bindings import driver
    from cuda.bindings import runtime as rt

    for status, *_ in (
        rt.cudaFree(0),
        rt.cudaFreeHost(0),
        rt.cudaMemcpyAsync(0, 0, 1, rt.cudaMemcpyKind.cudaMemcpyHostToDevice, 0),
        rt.cudaStreamDestroy(0),
        rt.cudaStreamSynchronize(0),
        rt.cudaEventDestroy(0),
        rt.cudaEventRecord(0, 0),
        rt.cudaEventSynchronize(0),
        rt.cudaEventElapsedTime(0, 0),
        rt.cudaStreamBeginCapture(0, rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal),
        rt.cudaStreamEndCapture(0),
        rt.cudaGraphInstantiate(0, 0),
        rt.cudaGraphLaunch(0, 0),
        rt.cudaGraphExecDestroy(0),
        rt.cudaGraphDestroy(0),
        rt.cudaHostGetDevicePointer(0, 0),
    ):
        assert isinstance(status, rt.cudaError_t)

    pointers = (ctypes.c_void_p * 1)()
    for function, arguments in (
        (driver.cuLaunchKernel, (0, 1, 1, 1, 1, 1, 1, 0, 0, ctypes.addressof(pointers), 0)),
        (driver.cuModuleLoadData, (b"cubin",)),
        (driver.cuModuleGetFunction, (0, b"preprocess_4")),
        (driver.cuModuleUnload, (0,)),
    ):
        with pytest.raises(RuntimeError):  # libcuda is missing; wrong arguments are a TypeError
            function(*arguments)


@pytest.mark.parametrize(
    ("call", "status", "named"),
    [
        ("cudaMalloc", 2, "cudaMalloc gave cudaErrorMemoryAllocation"),
        ("cuModuleLoadData", 209, "cuModuleLoadData gave CUDA_ERROR_NO_BINARY_FOR_GPU"),
    ],
)
def test_cuda_bindings_errors_are_ours(bindings, call: str, status: int, named: str) -> None:
    cuda = _Bindings(bindings.rt, bindings.drv, 0)
    runtime, driver = bindings.real
    if call == "cuModuleLoadData":
        bindings.drv.__dict__["cuGetErrorName"] = lambda status: (0, b"CUDA_ERROR_NO_BINARY_FOR_GPU")
        bindings.drv.__dict__["cuGetErrorString"] = lambda status: (0, b"no kernel image")
    bindings.fail[call] = (runtime.cudaError_t if call == "cudaMalloc" else driver.CUresult)(status)
    with cuda.current(), pytest.raises(CudaError, match=named):
        cuda.allocate(64) if call == "cudaMalloc" else cuda.load_module(b"x")
    # The runtime would report it again to whoever calls it next.
    assert ("cudaGetLastError", ()) in bindings.rt.calls or call != "cudaMalloc"


def test_cuda_bindings_give_a_thread_its_own_device_back(bindings) -> None:
    bindings.answers["cudaGetDeviceCount"] = (2,)
    bindings.answers["cudaGetDevice"] = (1,)
    cuda = _Bindings(bindings.rt, bindings.drv, 0)
    bindings.rt.calls.clear()
    with pytest.raises(ZeroDivisionError), cuda.current():
        raise ZeroDivisionError
    assert [call for call in bindings.rt.calls if call[0] == "cudaSetDevice"] == [
        ("cudaSetDevice", (0,)),
        ("cudaSetDevice", (1,)),
    ]


def test_cuda_bindings_refuse_a_gpu_that_is_not_there(bindings) -> None:
    with pytest.raises(BackendUnavailable, match=r"GPU 3 of 1.*of that number"):
        _Bindings(bindings.rt, bindings.drv, 3)


def test_page_locked_memory_goes_with_its_last_view(bindings) -> None:
    cuda = _Bindings(bindings.rt, bindings.drv, 0)
    with cuda.current():
        memory = cuda.host_memory(64, mapped=False)
    view = memory.array.view(np.float32).reshape(4, 4)[1:3]
    del memory
    assert "cudaFreeHost" not in [name for name, _ in bindings.rt.calls]
    view[:] = 1.0
    del view
    assert ("cudaFreeHost", (ctypes.addressof(bindings.keep),)) in bindings.rt.calls


# pycuda.


def test_pycuda_is_used_as_it_is() -> None:
    fake = FakePyCuda()
    cuda = _PyCuda(fake, 0)
    assert cuda.device == GpuDevice("Orin", (8, 7), 16, 12060, True, 8 << 30)
    use_everything(cuda)
    assert fake.stack == []
    assert fake.detached == 1
    assert sorted(fake.freed) == ["device"]  # the host memory outlived the context, which frees it
    grid, block, types, (parameters,) = fake.launched[0]
    assert (grid, block, types) == ((2, 3, 1), (32, 8, 1), ["16s"])
    assert Job.from_buffer_copy(parameters).pitch == 48
    with pytest.raises(CudaError, match="closed"), cuda.current():
        pass


def test_pycuda_frees_page_locked_memory_with_its_last_view() -> None:
    fake = FakePyCuda()
    cuda = _PyCuda(fake, 0)
    with cuda.current():
        memory = cuda.host_memory(64, mapped=True)
    view = memory.array[8:16]
    del memory
    assert fake.freed == []
    del view
    assert fake.freed == ["host"]
    cuda.close()


def test_pycuda_errors_are_ours_and_the_context_is_left() -> None:
    fake = FakePyCuda()
    with pytest.raises(BackendUnavailable, match="cuDeviceGet gave invalid device ordinal; there is no GPU"):
        _PyCuda(fake, 1)
    cuda = _PyCuda(fake, 0)
    fake.out_of_memory = True
    with pytest.raises(CudaError, match="cuMemAlloc gave out of memory; the GPU's memory is full"), cuda.current():
        cuda.allocate(64)
    assert fake.stack == []


def test_pycuda_has_no_graphs() -> None:
    cuda = _PyCuda(FakePyCuda(), 0)
    assert not cuda.has_graphs
    for call in (cuda.begin_capture, cuda.end_capture):
        with pytest.raises(CudaError, match="cuda-python"):
            call(0x77)
