"""The runtime over a GPU in host memory: order, lifetimes, graphs, replicas, failures. Numbers are onnxruntime's."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from cpu_kernels import cpu_kernels
from fake_cuda import FakeCuda
from networks import write_network
from onnx import TensorProto, helper
from stub_tensorrt import MAGIC, StubBuilder, stub_flavour

from edgedepth.backends import BackendOptions, EngineOptions, ImageBackend, ProvableBackend, open_backend
from edgedepth.backends.tensorrt import loaded
from edgedepth.backends.tensorrt.backend import TensorRTBackend, _ordinal, open_on
from edgedepth.bundle import parse_spec
from edgedepth.bundle.spec import InputSpec
from edgedepth.depth import DepthEstimator
from edgedepth.depth.preprocess import image_feed, preprocess
from edgedepth.depth.resize import ResizePlan
from edgedepth.errors import BackendError, BackendUnavailable, CudaError, EngineError, InputError
from edgedepth.types import Frame

WEIGHTS = (1.0, 2.0, 4.0)  # depth = r + 2 g + 4 b
SPEC = InputSpec(height=8, width=8)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_network(tmp_path / "net.onnx", weights=WEIGHTS)


@pytest.fixture(autouse=True)
def _no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels run as C++ here; what NVRTC makes of them is tested beside."""
    monkeypatch.setattr(loaded, "compile_kernels", lambda sm: b"cubin")


Opener = Callable[..., tuple[TensorRTBackend, FakeCuda]]


@pytest.fixture
def open_it(network: Path) -> Opener:
    def opener(
        *,
        path: Path | None = None,
        options: BackendOptions | None = None,
        builder: StubBuilder | None = None,
        integrated: bool = False,
        has_graphs: bool = True,
        **faults: object,
    ) -> tuple[TensorRTBackend, FakeCuda]:
        cuda = FakeCuda(integrated=integrated, has_graphs=has_graphs, kernels=cpu_kernels)
        made.append(cuda)
        engine_of = builder or StubBuilder()
        flavour = stub_flavour(cuda, **faults)
        return open_on(cuda, flavour, path or network, options or BackendOptions(), engine_of=engine_of), cuda

    made: list[FakeCuda] = []
    yield opener
    for cuda in made:
        assert cuda.leaks() == {}
        assert cuda.closed == 1


def feed(value: float) -> dict[str, np.ndarray]:
    return {"image": np.full((1, 3, 8, 8), value, np.float32)}


def frame_feed(frame_wh: tuple[int, int] = (16, 12)):
    return image_feed(SPEC, ResizePlan.for_frame(SPEC, frame_wh))


def noise(frame_wh: tuple[int, int] = (16, 12), seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*frame_wh[::-1], 3), dtype=np.uint8)


# Graphs.


def test_from_the_second_frame_on_it_is_one_graph_with_new_data(open_it: Opener) -> None:
    backend, cuda = open_it()
    with backend:
        for n in range(6):
            assert (backend.run(feed(n))["depth"] == 7 * n).all()
            assert backend.has_graph is (n > 0)
        assert cuda.calls.count("begin_capture") == 1
        assert cuda.calls.count("launch_graph") == 5
        assert cuda.calls.count("copy_to_device") == 2  # enqueued once, captured once


def test_without_graphs_the_numbers_are_the_same(open_it: Opener, caplog: pytest.LogCaptureFixture) -> None:
    backend, cuda = open_it(has_graphs=False)
    with backend, backend.replica() as replica:
        for n in range(3):
            assert (backend.run(feed(n))["depth"] == 7 * n).all()
            assert (replica.run(feed(-n))["depth"] == -7 * n).all()
        assert not backend.has_graph
    assert "begin_capture" not in cuda.calls
    assert [r.levelno for r in caplog.records] == [logging.WARNING]  # once, not per replica or frame
    assert "enqueued anew" in caplog.text


@pytest.mark.parametrize("fault", [{"allocates": True}, {"uncapturable": True}])
def test_what_cannot_be_captured_runs_without_a_graph(
    open_it: Opener, caplog: pytest.LogCaptureFixture, fault: dict[str, object]
) -> None:
    backend, cuda = open_it(**fault)
    with backend:
        for n in range(4):
            assert (backend.run(feed(n))["depth"] == 7 * n).all()
        assert cuda.calls.count("begin_capture") <= 1
        assert not backend.has_graph
    assert caplog.text.count("no CUDA graph") == 1


def test_rtx_that_can_be_captured_is(open_it: Opener) -> None:
    backend, _ = open_it(uncapturable=False)
    with backend:
        backend.run(feed(1))
        backend.run(feed(1))
        assert backend.has_graph


def test_a_graph_that_cannot_be_made_is_no_failure(open_it: Opener, caplog: pytest.LogCaptureFixture) -> None:
    backend, cuda = open_it()
    cuda.fail["end_capture"] = CudaError("cudaGraphInstantiate gave cudaErrorMemoryAllocation")
    with backend:
        for n in range(3):
            assert (backend.run(feed(n))["depth"] == 7 * n).all()
    assert "cudaGraphInstantiate" in caplog.text


# Memory.


def test_nothing_is_allocated_after_the_second_frame(open_it: Opener) -> None:
    backend, cuda = open_it()
    with backend:
        given = frame_feed()
        backend.run_image(noise(), given)
        backend.run_image(noise(), given)
        cuda.calls.clear()
        for seed in range(5):
            backend.run_image(noise(seed=seed), given)
        assert set(cuda.calls) == {"record", "launch_graph", "wait"}


def test_integrated_gpus_copy_nothing(open_it: Opener) -> None:
    backend, cuda = open_it(integrated=True)
    with backend:
        assert (backend.run(feed(2))["depth"] == 14).all()
        tensor = preprocess(SPEC, ResizePlan.for_frame(SPEC, (16, 12)))(noise())
        expected = backend.run({"image": tensor})["depth"].copy()
        found = backend.run_image(noise(), frame_feed())["depth"]
        np.testing.assert_allclose(found, expected, atol=7 / 255 * 1.01)
        assert not {"copy_to_device", "copy_to_host", "allocate"} & set(cuda.calls)


def test_outputs_are_reused_and_outlive_the_backend(open_it: Opener) -> None:
    backend, cuda = open_it()
    first = backend.run(feed(1))["depth"]
    second = backend.run(feed(2))["depth"]
    assert np.shares_memory(first, second)
    view = second[0, 0, 2:4]
    backend.close()
    del first, second
    gc.collect()
    assert (view == 14).all()  # page-locked memory that somebody looks at is not given back
    assert cuda.host_bytes == 8 * 8 * 4
    del view
    gc.collect()
    assert cuda.host_bytes == 0


def test_frames_of_other_sizes_do_not_add_up(open_it: Opener) -> None:
    backend, cuda = open_it()
    with backend:
        counts = []
        for frame_wh in ((16, 12), (40, 20), (9, 9), (16, 12)):
            given = frame_feed(frame_wh)
            for seed in range(3):
                found = backend.run_image(noise(frame_wh, seed), given)["depth"]
                tensor = preprocess(SPEC, ResizePlan.for_frame(SPEC, frame_wh))(noise(frame_wh, seed))
                expected = np.tensordot(WEIGHTS, tensor[0], 1)
                np.testing.assert_allclose(found[0, 0], expected, atol=7 / 255 * 1.01)
            counts.append(len(cuda.live["memory"]))
        assert len(set(counts)) == 1
        assert len(cuda.live["graph"]) == 1


# Frames.


def test_a_frame_gives_what_its_tensor_gives(open_it: Opener) -> None:
    backend, cuda = open_it()
    with backend:
        assert isinstance(backend, ImageBackend)
        assert backend.takes_images
        plan = ResizePlan.for_frame(SPEC, (16, 12))
        given = image_feed(SPEC, plan)
        for seed in range(4):  # back and forth: the graph of the one never answers for the other
            by_tensor = backend.run({"image": preprocess(SPEC, plan)(noise(seed=seed))})["depth"].copy()
            by_image = backend.run_image(noise(seed=seed), given)["depth"]
            np.testing.assert_allclose(by_image, by_tensor, atol=7 / 255 * 1.01)
        assert len(cuda.live["graph"]) <= 1


def test_estimator_feeds_frames_and_agrees_with_onnxruntime(open_it: Opener, network: Path) -> None:
    spec = parse_spec(
        {"name": "tiny", "input": {"height": 8, "width": 8, "resize": "letterbox"}, "output": {"kind": "metric"}}
    )
    backend, cuda = open_it()
    image = np.kron(noise((4, 3)), np.ones((4, 4, 1), np.uint8))
    with DepthEstimator(spec, backend) as here, DepthEstimator(spec, open_backend(network)) as reference:
        for _ in range(3):
            found, expected = here.estimate(Frame(image)), reference.estimate(Frame(image))
            np.testing.assert_allclose(found.depth_m, expected.depth_m, atol=7 / 255 * 1.01)
        assert "launch" in cuda.calls
        small = here.estimate(Frame(noise((6, 8))))
        assert small.size_wh == (6, 8)
        with here.replica() as replica:
            assert replica.estimate(Frame(image)).size_wh == found.size_wh


@pytest.mark.parametrize("integrated", [False, True])
def test_every_output_comes_back_with_every_frame(open_it: Opener, tmp_path: Path, integrated: bool) -> None:
    path = write_network(tmp_path / "two.onnx", weights=WEIGHTS, person=(0, 0, 1))
    spec = parse_spec(
        {
            "name": "two",
            "input": {"height": 8, "width": 8},
            "output": {"name": "depth", "kind": "metric"},
            "person": {"name": "person"},
        }
    )
    backend, _ = open_it(path=path, integrated=integrated)
    with DepthEstimator(spec, backend, grid="network") as estimator:
        for blue in (51, 102, 204):  # enqueued, captured, launched
            image = np.zeros((12, 16, 3), np.uint8)
            image[..., 2] = blue
            depth = estimator.estimate(Frame(image))
            assert depth.person is not None
            np.testing.assert_allclose(depth.person, blue / 255, rtol=1e-6)
            np.testing.assert_allclose(depth.values, 4 * blue / 255, rtol=1e-6)


def test_without_a_kernel_compiler_frames_are_prepared_on_the_cpu(
    open_it: Opener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(sm: tuple[int, int]) -> bytes:
        raise BackendUnavailable("NVRTC could not be loaded; pip install nvidia-cuda-nvrtc")

    monkeypatch.setattr(loaded, "compile_kernels", missing)
    backend, cuda = open_it()
    spec = parse_spec({"name": "tiny", "input": {"height": 8, "width": 8}, "output": {"kind": "metric"}})
    with DepthEstimator(spec, backend) as estimator, estimator.replica() as replica:
        assert not backend.takes_images
        red = np.zeros((8, 8, 3), np.uint8)
        red[..., 0] = 51
        np.testing.assert_allclose(estimator.estimate(Frame(red)).depth_m, 0.2, rtol=1e-5)
        np.testing.assert_allclose(replica.estimate(Frame(red)).depth_m, 0.2, rtol=1e-5)
        with pytest.raises(InputError, match="feed it tensors"):
            backend.run_image(red, frame_feed((8, 8)))
    assert "launch" not in cuda.calls
    assert caplog.text.count("pip install nvidia-cuda-nvrtc") == 1


# Outputs that stay.


def test_outputs_stay_on_the_device_until_asked_for(open_it: Opener) -> None:
    backend, cuda = open_it()
    with backend:
        for n in range(3):
            left = backend.run_device(feed(n))["depth"]
            assert (left.shape, left.dtype) == ((1, 1, 8, 8), np.float32)
            assert "copy_to_host" not in cuda.calls
            interface = left.__cuda_array_interface__
            assert interface["data"] == (left.address, False)
            assert (interface["typestr"], interface["version"]) == ("<f4", 3)
        assert (left.fetch() == 14).all()
        assert cuda.calls.count("copy_to_host") == 1
        assert (backend.run_image_device(np.full((12, 16, 3), 255, np.uint8), frame_feed())["depth"].fetch() == 7).all()


def test_a_frame_waits_until_the_one_before_has_read_its_input(open_it: Opener) -> None:
    backend, cuda = open_it()
    seen = []
    with backend:
        for n in range(4):
            left = backend.run_device(feed(n))["depth"]
            # Somebody's work on the same stream, as torch or cupy would put it there.
            cuda.enqueue(
                left.__cuda_array_interface__["stream"],
                lambda at=left.address: seen.append(cuda.bytes_at(at, 4).view(np.float32)[0]),
            )
        left.fetch()
    assert seen == [0, 7, 14, 21]


def test_what_a_later_frame_overwrote_is_refused(open_it: Opener) -> None:
    backend, _ = open_it()
    with backend:
        left = backend.run_device(feed(1))["depth"]
        backend.run(feed(2))
        with pytest.raises(BackendError, match=r"'depth' was overwritten"):
            left.fetch()
        with pytest.raises(BackendError, match="overwritten"):
            _ = left.__cuda_array_interface__
        left = backend.run_device(feed(1))["depth"]
    with pytest.raises(BackendError):
        left.fetch()


# Failures.


@pytest.mark.parametrize("at", [0, 1])  # running, and capturing
def test_a_failed_run_says_why_and_the_next_one_works(open_it: Opener, at: int) -> None:
    backend, cuda = open_it(execute_fails=at)
    with backend:
        if at == 0:
            with pytest.raises(EngineError, match=r"failed to run.*enqueueV3.*invalid argument") as caught:
                backend.run(feed(1))
            assert "\n" not in str(caught.value)
            assert not any(cuda.live["stream"].values())  # nothing of it is still on its way
        for n in range(4):
            assert (backend.run(feed(n))["depth"] == 7 * n).all()


@pytest.mark.parametrize("call", ["record", "copy_to_device", "copy_to_host", "wait", "launch_graph"])
def test_cuda_errors_pass_and_the_next_frame_works(open_it: Opener, call: str) -> None:
    backend, cuda = open_it()
    with backend:
        if call == "launch_graph":
            backend.run(feed(1))
        cuda.fail[call] = CudaError(f"{call} gave cudaErrorUnknown")
        with pytest.raises(CudaError, match=call):
            backend.run(feed(1))
        cuda.fail.clear()
        for n in range(3):
            assert (backend.run(feed(n))["depth"] == 7 * n).all()


def test_a_lost_context_can_still_be_closed(open_it: Opener) -> None:
    backend, cuda = open_it()
    backend.run(feed(1))
    backend.run_device(feed(1))
    cuda.fail = {"wait": CudaError("lost"), "record": CudaError("lost")}
    with pytest.raises(CudaError, match="lost"):
        backend.run(feed(1))
    backend.close()


def test_replica_without_memory_leaves_the_first_alone(open_it: Opener) -> None:
    backend, cuda = open_it(context_fails=1)
    with backend:
        before = cuda.leaks()
        with pytest.raises(EngineError, match=r"out of memory.*fewer replicas"):
            backend.replica()
        assert cuda.leaks() == before
        assert (backend.run(feed(1))["depth"] == 7).all()


@pytest.mark.parametrize("call", ["allocate", "host_memory", "stream", "event"])
def test_a_device_that_cannot_give_is_left_clean(network: Path, call: str) -> None:
    cuda = FakeCuda()
    cuda.fail[call] = CudaError(f"{call} gave cudaErrorMemoryAllocation")
    with pytest.raises(CudaError, match=call):
        open_on(cuda, stub_flavour(cuda), network, BackendOptions(), engine_of=StubBuilder())
    assert (cuda.leaks(), cuda.closed) == ({}, 1)


def test_refused_memory_is_an_error(network: Path) -> None:
    cuda = FakeCuda()
    with pytest.raises(EngineError, match="'image'"):
        open_on(cuda, stub_flavour(cuda, refuses_address=True), network, BackendOptions(), engine_of=StubBuilder())
    assert (cuda.leaks(), cuda.closed) == ({}, 1)


# Engines.


def test_a_stale_engine_is_built_again_once(open_it: Opener) -> None:
    builder = StubBuilder(stale=b"of another version")
    backend, _ = open_it(builder=builder)
    with backend:
        assert builder.rebuilds == [False, True]
        assert (backend.run(feed(1))["depth"] == 7).all()


@pytest.mark.parametrize("rebuild", [False, True])
def test_an_engine_that_is_always_refused_is_an_error(network: Path, rebuild: bool) -> None:
    cuda = FakeCuda()
    builder = StubBuilder(stale=bytes(64), fresh=bytes(64))
    options = BackendOptions(engine=EngineOptions(rebuild=rebuild))
    with pytest.raises(EngineError, match=r"cannot load this engine.*magicTag.*build it again") as caught:
        open_on(cuda, stub_flavour(cuda), network, options, engine_of=builder)
    assert "\n" not in str(caught.value)
    assert builder.rebuilds == ([True] if rebuild else [False, True])
    assert (cuda.leaks(), cuda.closed) == ({}, 1)


def test_failed_build_closes_the_device(network: Path) -> None:
    cuda = FakeCuda()

    def fail(*args: object, **keys: object) -> None:
        raise EngineError("no kernel for this")

    with pytest.raises(EngineError, match="no kernel"):
        open_on(cuda, stub_flavour(cuda), network, BackendOptions(), engine_of=fail)
    assert cuda.closed == 1


def test_proof_is_the_cache_s(open_it: Opener) -> None:
    backend, _ = open_it()
    with backend, backend.replica() as replica:
        assert isinstance(backend, ProvableBackend)
        assert replica.proof is None
        replica.record_proof({"frames": 2})
        assert backend.proof == {"frames": 2}
        assert backend.gate_hint == ""
        assert backend._cached.plan == b""  # TensorRT has its own copy
        assert backend._cached.reports == [{"frames": 2}]


# Tensors.


def write_typed(path: Path, given: int, made: int, shape: tuple[object, ...] = (2, 3)) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=made)],
        "typed",
        [helper.make_tensor_value_info("x", given, shape)],
        [helper.make_tensor_value_info("y", made, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (TensorProto.FLOAT16, TensorProto.FLOAT16),
        (TensorProto.UINT8, TensorProto.FLOAT),
        (TensorProto.INT8, TensorProto.INT64),
    ],
)
def test_element_types(open_it: Opener, tmp_path: Path, given: int, made: int) -> None:
    backend, _ = open_it(path=write_typed(tmp_path / "typed.onnx", given, made))
    with backend:
        dtypes = [helper.tensor_dtype_to_np_dtype(kind) for kind in (given, made)]
        assert [spec.dtype for spec in (*backend.inputs, *backend.outputs)] == dtypes
        x = np.arange(6).reshape(2, 3).astype(dtypes[0])
        for _ in range(2):
            y = backend.run({"x": x})["y"]
            assert y.dtype == dtypes[1]
            np.testing.assert_array_equal(y, x)
        assert not backend.takes_images


@pytest.mark.parametrize(
    ("made", "shape", "named"),
    [(TensorProto.FLOAT, ("n", 3), r"'x'.*\(-1, 3\).*fixed"), (TensorProto.BFLOAT16, (2, 3), "'y'.*BF16")],
)
def test_what_cannot_be_fed_is_refused(
    open_it: Opener, tmp_path: Path, made: int, shape: tuple[object, ...], named: str
) -> None:
    with pytest.raises(EngineError, match=named):
        open_it(path=write_typed(tmp_path / "typed.onnx", TensorProto.FLOAT, made, shape))


# Replicas and times.


def test_replicas_have_graphs_of_their_own_and_the_engine_goes_with_the_last(open_it: Opener) -> None:
    backend, cuda = open_it(options=BackendOptions(mode="throughput", replicas=3))
    replicas = [backend.replica() for _ in range(3)]
    backend.close()
    assert cuda.closed == 0
    wrong: list[object] = []

    def work(index: int) -> None:
        try:
            given = frame_feed()
            for n in range(40):
                value = float(100 * index + n)
                if not (replicas[index].run(feed(value))["depth"] == 7 * value).all():
                    wrong.append((index, n))
                if n % 10 > 6:
                    grey = np.full((12, 16, 3), n, np.uint8)
                    found = replicas[index].run_image(grey, given)["depth"]
                    if not np.allclose(found, 7 * n / 255):
                        wrong.append((index, n, "image"))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert len(cuda.live["module"]) == 1  # compiled and loaded once
    for replica in replicas:
        assert cuda.closed == 0
        replica.close()


def test_time_on_the_device(open_it: Opener) -> None:
    backend, _ = open_it()
    with backend:
        with pytest.raises(BackendError, match="no frame"):
            _ = backend.last_device_ms
        backend.run_device(feed(1))
        assert backend.last_device_ms > 0
    with pytest.raises(BackendError, match="closed"):
        _ = backend.last_device_ms


@pytest.mark.parametrize(("mode", "sleeps"), [("latency", False), ("throughput", True)])
def test_waiting_sleeps_only_where_others_want_the_cpu(
    open_it: Opener, monkeypatch: pytest.MonkeyPatch, mode: str, sleeps: bool
) -> None:
    blocking = []
    event = FakeCuda.event
    monkeypatch.setattr(
        FakeCuda, "event", lambda self, *, blocking: made.append(blocking) or event(self, blocking=blocking)
    )
    made = blocking
    backend, _ = open_it(options=BackendOptions(mode=mode))
    backend.close()
    assert any(made) is sleeps


@pytest.mark.parametrize(
    ("device", "ordinal"), [(None, 0), ("0", 0), ("2", 2), ("cuda:1", 1), ("cuda", 0), ("GPU1", 1), ("gpu", 0)]
)
def test_device_is_the_number_of_a_gpu(device: str | None, ordinal: int) -> None:
    assert _ordinal(device) == ordinal


@pytest.mark.parametrize("device", ["rtx", "-1", "1.0", "cuda:x"])
def test_other_devices_are_refused(device: str) -> None:
    with pytest.raises(InputError, match="GPU's number"):
        _ordinal(device)


def test_closed_backend_refuses_frames_too(open_it: Opener) -> None:
    backend, _ = open_it()
    backend.close()
    for call in (
        lambda: backend.takes_images,
        lambda: backend.run_image(noise(), frame_feed()),
        lambda: backend.run_device(feed(1)),
    ):
        with pytest.raises(BackendError, match="closed"):
            call()


def test_magic_is_what_the_stub_loads() -> None:
    """The stub refuses what is not its own, or the tests of stale engines would prove nothing."""
    cuda = FakeCuda()
    with cuda.current():
        runtime = stub_flavour(cuda).trt.Runtime(None)
        assert runtime.deserialize_cuda_engine(bytes(8)) is None
        assert MAGIC not in bytes(8)
