"""One suite over every backend: what the Backend seam promises, whatever library is behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from fake_cuda import FakeCuda
from onnx import TensorProto, helper
from stub_tensorrt import StubBuilder, stub_flavour

from edgedepth.backends import Backend, BackendOptions, FakeBackend, open_backend
from edgedepth.backends.tensorrt.backend import open_on
from edgedepth.errors import BackendError, InputError

LIBRARIES = ("onnxruntime", "openvino")


def write_network(path: Path, *, rows: int | str = 2) -> Path:
    """total = 2 a + b, and its transpose; float32 (rows, 3) each. ``rows`` may be a symbol: a free dimension."""
    nodes = [
        helper.make_node("Mul", ["a", "two"], ["a2"]),
        helper.make_node("Add", ["a2", "b"], ["total"]),
        helper.make_node("Transpose", ["total"], ["turned"], perm=[1, 0]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [rows, 3]) for n in ("a", "b")],
        [
            helper.make_tensor_value_info("total", TensorProto.FLOAT, [rows, 3]),
            helper.make_tensor_value_info("turned", TensorProto.FLOAT, [3, rows]),
        ],
        [helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("onnx") / "tiny.onnx")


Opener = Callable[[BackendOptions | None], Backend]


# TensorRT's own code over a GPU in host memory and a stub of TensorRT: discrete or not, with CUDA graphs or without.
TENSORRT = {
    "tensorrt": {},
    "tensorrt integrated": {"integrated": True},
    "tensorrt without graphs": {"has_graphs": False},
}


@pytest.fixture(params=[*LIBRARIES, "fake", *TENSORRT])
def opener(request: pytest.FixtureRequest, network: Path) -> Iterator[Opener]:
    name = request.param
    if name == "openvino":
        pytest.importorskip("openvino")
    devices: list[FakeCuda] = []

    def open_it(options: BackendOptions | None = None) -> Backend:
        if name in TENSORRT:
            devices.append(FakeCuda(**TENSORRT[name]))
            flavour = stub_flavour(devices[-1])
            return open_on(devices[-1], flavour, network, options or BackendOptions(), engine_of=StubBuilder())
        backend = open_backend(network, options, name=name)
        if name == "fake":

            def compute(feeds):
                total = 2 * feeds["a"] + feeds["b"]
                return {"total": total, "turned": total.T}

            backend = FakeBackend(backend.inputs, backend.outputs, compute)
        return backend

    yield open_it
    for device in devices:
        assert (device.leaks(), device.closed) == ({}, 1)


@pytest.fixture
def backend(opener: Opener):
    with opener(None) as opened:
        yield opened


def feeds(a: float = 1.0, b: float = 10.0) -> dict[str, np.ndarray]:
    return {"a": np.full((2, 3), a, np.float32), "b": np.full((2, 3), b, np.float32)}


def test_is_a_backend_and_says_what_it_is(backend: Backend) -> None:
    assert isinstance(backend, Backend)
    assert backend.name.split(":")[0] in (*LIBRARIES, "fake", "tensorrt")


def test_tensors_are_described(backend: Backend) -> None:
    assert [(t.name, t.dtype, t.shape) for t in backend.inputs] == [
        ("a", np.dtype(np.float32), (2, 3)),
        ("b", np.dtype(np.float32), (2, 3)),
    ]
    assert {t.name: t.shape for t in backend.outputs} == {"total": (2, 3), "turned": (3, 2)}


def test_computes_every_output(backend: Backend) -> None:
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    outputs = backend.run({"a": a, "b": np.ones((2, 3), np.float32)})
    assert set(outputs) == {"total", "turned"}
    np.testing.assert_array_equal(outputs["total"], [[1, 3, 5], [7, 9, 11]])
    np.testing.assert_array_equal(outputs["turned"], [[1, 7], [3, 9], [5, 11]])


def test_feeds_may_be_views_and_are_not_held(backend: Backend) -> None:
    wide = np.arange(12, dtype=np.float32).reshape(2, 6)
    view = wide[:, ::2]
    b = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(backend.run({"a": view, "b": b})["total"], [[0, 4, 8], [12, 16, 20]])
    wide[:] = 1
    np.testing.assert_array_equal(backend.run({"a": view, "b": b})["total"], np.full((2, 3), 2))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda f: f.pop("b"), "'b'"),
        (lambda f: f.update(c=f["a"]), "'c'"),
        (lambda f: f.update(a=f["a"].astype(np.float64)), "'a'.*float32.*float64"),
        (lambda f: f.update(b=np.zeros((3, 2), np.float32)), r"'b'.*\(2, 3\).*\(3, 2\)"),
        (lambda f: f.update(b=np.zeros((1, 2, 3), np.float32)), r"'b'"),
    ],
)
def test_wrong_feed_is_named(backend: Backend, change: Callable[[dict], object], named: str) -> None:
    wrong = feeds()
    change(wrong)
    with pytest.raises(InputError, match=named) as caught:
        backend.run(wrong)
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(backend.run(feeds())["total"], np.full((2, 3), 12))  # still works


def test_replicas_run_at_once_and_do_not_share_outputs(opener: Opener) -> None:
    count, rounds = 4, 200
    with opener(BackendOptions(mode="throughput", replicas=count)) as first:
        replicas = [first.replica() for _ in range(count)]
        barrier = threading.Barrier(count)
        wrong: list[object] = []

        def work(index: int) -> None:
            try:
                barrier.wait()
                for n in range(rounds):
                    value = float(1000 * index + n)
                    total = replicas[index].run(feeds(a=value, b=0))["total"]
                    if not (total == 2 * value).all():
                        wrong.append((index, n, total.copy()))
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for replica in replicas:
            replica.close()
        assert not wrong
        assert first.run(feeds())["total"][0, 0] == 12


def test_replica_is_alike_and_outlives_the_first(opener: Opener) -> None:
    first = opener(None)
    replica = first.replica()
    first.close()
    assert (replica.name, replica.inputs, replica.outputs) == (first.name, first.inputs, first.outputs)
    assert replica.run(feeds())["total"][0, 0] == 12
    replica.close()


def test_closed_backend_refuses(opener: Opener) -> None:
    with opener(None) as backend:
        backend.close()
        backend.close()
        with pytest.raises(BackendError, match="closed"):
            backend.run(feeds())
        with pytest.raises(BackendError, match="closed"):
            backend.replica()


@pytest.mark.parametrize("mode", ["latency", "throughput"])
@pytest.mark.parametrize("threads", [None, 1])
def test_every_mode_computes(opener: Opener, mode: str, threads: int | None) -> None:
    with opener(BackendOptions(mode=mode, threads=threads, replicas=2)) as backend:
        assert backend.run(feeds())["total"][1, 2] == 12


@pytest.mark.parametrize("name", LIBRARIES)
def test_free_dimension(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    with open_backend(write_network(tmp_path / "free.onnx", rows="rows"), name=name) as backend:
        assert backend.inputs[0].shape == (None, 3)
        for rows in (1, 4):
            x = np.ones((rows, 3), np.float32)
            outputs = backend.run({"a": x, "b": x})
            assert outputs["total"].shape == (rows, 3)
            assert (outputs["total"] == 3).all()


@pytest.mark.parametrize("name", [*LIBRARIES, "fake"])
@pytest.mark.parametrize("damage", ["truncated", "not onnx", "empty"])
def test_damaged_file_is_a_backend_error_in_one_line(name: str, damage: str, network: Path, tmp_path: Path) -> None:
    if name != "fake":
        pytest.importorskip(name)
    whole = network.read_bytes()
    damaged = {"truncated": whole[: len(whole) // 2], "not onnx": b"MThd" * 100, "empty": b""}[damage]
    path = tmp_path / "damaged.onnx"
    path.write_bytes(damaged)
    with pytest.raises(BackendError, match=r"damaged\.onnx") as caught:
        open_backend(path, name=name)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("name", LIBRARIES)
def test_failure_inside_the_network_is_a_backend_error(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    path = tmp_path / "reshape.onnx"
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "fails at run time",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("shape", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["p", "q"])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    with open_backend(path, name=name) as backend:
        x = np.zeros(6, np.float32)
        assert backend.run({"x": x, "shape": np.array([2, 3])})["y"].shape == (2, 3)
        with pytest.raises(BackendError) as caught:
            backend.run({"x": x, "shape": np.array([4, 4])})
        assert "\n" not in str(caught.value)
        assert backend.run({"x": x, "shape": np.array([3, 2])})["y"].shape == (3, 2)
