"""How fast frames become metres: the pipeline, beside a plain loop, pure inference and the machine's ceiling.

    python benchmarks/latency.py VIDEO --model model.onnx --spec spec.toml [--backend onnxruntime] [--versus openvino]

Everything is measured in one run. Each measurement has a process of its own, so that no thread pool disturbs another,
and they take turns: every repeat runs all of them, the medians over the repeats are reported. Compared are:

- ``plain``: cv2.VideoCapture, resize, colour, float, onnxruntime with its defaults, resize back; one after the other.
- ``inference``: the backend alone, one frame at a time on all cores (latency) and one frame per core (throughput).
- ``pipeline``: file to null sink with every frame once and in order.
- ``stages``: CPU seconds per frame of every stage run alone on one thread. The ceiling is cores / their sum; the busy
  ceiling counts inference as it costs when every core runs it.

Ratios are medians of those of the repeats.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from record import Record, rounded

from edgedepth.backends import BackendOptions, open_backend
from edgedepth.bundle import load_model
from edgedepth.depth import DepthEstimator
from edgedepth.depth.preprocess import preprocess
from edgedepth.depth.resize import ResizePlan
from edgedepth.device import usable_cpus
from edgedepth.errors import EdgeDepthError
from edgedepth.sources import open_source
from edgedepth.stream import Pipeline, stream_options
from edgedepth.stream.timing import Samples

WARM_UP_FRAMES = 20
INTERPOLATION = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}
PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt_rtx_cu13",
    "cuda-bindings",
    "pycuda",
)


def plain(job: dict[str, Any]) -> dict[str, Any]:
    """The loop a user would write: no reuse of buffers, every library with its defaults."""
    import onnxruntime as ort

    model = load_model(job["model"], job["spec"])
    spec, output = model.spec.input, model.spec.output
    session = ort.InferenceSession(str(model.onnx_path))
    name = spec.name or session.get_inputs()[0].name
    capture = cv2.VideoCapture(job["video"])
    took = Samples()
    start_ns = 0
    for n in range(job["frames"] + WARM_UP_FRAMES):
        if n == WARM_UP_FRAMES:
            start_ns = time.perf_counter_ns()
        before_ns = time.perf_counter_ns()
        ok, bgr = capture.read()
        if not ok:
            raise SystemExit(
                f"{job['video']} has {n} frames, {WARM_UP_FRAMES} go for warming up; give a smaller --frames"
            )
        image = cv2.resize(bgr, (spec.width, spec.height), interpolation=INTERPOLATION[spec.interpolation])
        if spec.color == "RGB":
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        tensor = image
        if spec.dtype != "uint8":
            tensor = (image.astype(np.float32) * np.float32(spec.scale) - np.float32(spec.mean)) / np.float32(spec.std)
            tensor = tensor.astype(spec.dtype)
        if spec.layout == "NCHW":
            tensor = np.ascontiguousarray(tensor.transpose(2, 0, 1))
        raw = session.run(None, {name: tensor[None]})[0]
        depth = (np.squeeze(raw).astype(np.float32) - output.zero_point) * output.metres_per_unit
        cv2.resize(depth, (bgr.shape[1], bgr.shape[0]))
        if n >= WARM_UP_FRAMES:
            took.add(time.perf_counter_ns() - before_ns)
    return {"fps": job["frames"] / (time.perf_counter_ns() - start_ns) * 1e9, "frame_ms": _percentiles(took)}


def inference(job: dict[str, Any]) -> dict[str, Any]:
    """The backend alone, as many runs in flight as it has replicas."""
    cores = usable_cpus()
    options = BackendOptions("throughput", replicas=cores) if job["mode"] == "throughput" else BackendOptions("latency")
    model = load_model(job["model"], job["spec"])
    with open_backend(model.onnx_path, options, name=job["backend"]) as backend:
        tensor = _tensor(job, model.spec)
        feeds = {model.spec.input.name or backend.inputs[0].name: tensor}
        replicas = [backend.replica() for _ in range(options.replicas)]
        samples = [Samples() for _ in replicas]
        on_device = Samples()
        has_device_clock = hasattr(type(backend), "last_device_ms")  # TensorRT: CUDA events around copies and network
        barrier = threading.Barrier(len(replicas) + 1)
        count = -(-job["frames"] // len(replicas))

        def work(index: int) -> None:
            for _ in range(WARM_UP_FRAMES):
                replicas[index].run(feeds)
            barrier.wait()
            for _ in range(count):
                before_ns = time.perf_counter_ns()
                replicas[index].run(feeds)
                samples[index].add(time.perf_counter_ns() - before_ns)
                if has_device_clock and index == 0:
                    on_device.add(round(replicas[0].last_device_ms * 1e6))

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(replicas))]
        for thread in threads:
            thread.start()
        barrier.wait()
        start_ns = time.perf_counter_ns()
        for thread in threads:
            thread.join()
        fps = count * len(replicas) / (time.perf_counter_ns() - start_ns) * 1e9
        found = {"fps": fps, "run_ms": _percentiles(samples[0]), "replicas": len(replicas)}
        return found | ({"device_ms": _percentiles(on_device)} if has_device_clock else {})


def pipeline(job: dict[str, Any]) -> dict[str, Any]:
    """File to null sink."""
    source = open_source(job["video"])
    options = stream_options(source)
    estimator = DepthEstimator.open(job["model"], job["spec"], backend=job["backend"], options=options)
    cpu_s = time.process_time()
    summary = Pipeline(source, estimator, max_frames=job["frames"]).run().as_dict()
    cpu_s = time.process_time() - cpu_s
    estimator.close()
    if summary["frames"] != job["frames"]:
        raise SystemExit(f"{job['video']} has {summary['frames']} frames; give --frames {summary['frames']} or fewer")
    names = ("fps", "workers", "stages_ms", "age_ms")
    return {**{name: summary[name] for name in names}, "cpu_ms_per_frame": cpu_s / job["frames"] * 1e3}


def stages(job: dict[str, Any]) -> dict[str, Any]:
    """CPU milliseconds per frame of each stage alone, everything on one thread."""
    cv2.setNumThreads(1)
    frames = min(job["frames"], 200)
    with open_source(job["video"]) as source:
        frame = source.read(10.0)
        decode_ms = _cpu_ms(lambda: source.read(10.0), frames)
    model = load_model(job["model"], job["spec"])
    tensor_of = preprocess(model.spec.input, ResizePlan.for_frame(model.spec.input, frame.size_wh))
    options = BackendOptions("throughput", threads=1, replicas=1)
    with open_backend(model.onnx_path, options, name=job["backend"]) as backend:
        feeds = {model.spec.input.name or backend.inputs[0].name: tensor_of(frame.image).copy()}
        infer_ms = _cpu_ms(lambda: backend.run(feeds), frames)
        with DepthEstimator(model, _Canned(backend, feeds)) as estimator:
            width, height = estimator.grid_wh(frame.size_wh)
            out = np.empty((height, width), np.float32)
            both_ms = _cpu_ms(lambda: estimator.estimate(frame, out), 5 * frames)
        preprocess_ms = _cpu_ms(lambda: tensor_of(frame.image), 5 * frames)
    cpu_ms = {
        "capture": decode_ms,
        "preprocess": preprocess_ms,
        "infer": infer_ms,
        "postprocess": max(0.0, both_ms - preprocess_ms),
    }
    total_ms = sum(cpu_ms.values())
    return {"cpu_ms": cpu_ms, "cpu_ms_total": total_ms, "ceiling_fps": usable_cpus() / total_ms * 1e3}


class _Canned:
    """A backend that has run once and gives that answer for ever: what is left is pre- and postprocessing."""

    def __init__(self, backend: Any, feeds: dict[str, Any]) -> None:
        self.inputs, self.outputs, self.name = backend.inputs, backend.outputs, backend.name
        self._answer = {name: value.copy() for name, value in backend.run(feeds).items()}

    def run(self, feeds: Any) -> dict[str, Any]:
        return self._answer

    def close(self) -> None:
        pass


def _tensor(job: dict[str, Any], spec: Any) -> Any:
    with open_source(job["video"]) as source:
        frame = source.read(10.0)
    return preprocess(spec.input, ResizePlan.for_frame(spec.input, frame.size_wh))(frame.image).copy()


def _cpu_ms(call: Any, count: int) -> float:
    for _ in range(WARM_UP_FRAMES):
        call()
    start_s = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - start_s) / count * 1e3


def _percentiles(samples: Samples) -> dict[str, float]:
    found = samples.percentiles()
    return found.as_dict() if found else {}


MEASUREMENTS = {"plain": plain, "inference": inference, "pipeline": pipeline, "stages": stages}


def _measure(job: dict[str, Any]) -> dict[str, Any]:
    try:
        return MEASUREMENTS[job["what"]](job)
    except (EdgeDepthError, SystemExit) as error:
        return {"error": str(error)}


def _median(values: list[Any]) -> Any:
    """Medians of every number in alike structures."""
    if isinstance(values[0], dict):
        return {key: _median([value[key] for value in values]) for key in values[0]}
    return values[0] if len(set(values)) == 1 else statistics.median(values)


def _ratios(
    plain: dict[str, Any], piped: dict[str, Any], stages: dict[str, Any], inference: dict[str, Any]
) -> dict[str, float]:
    """Of one repeat: what was measured within seconds of each other, so that the machine's moods cancel."""
    # What the stages cost when every core runs one: inference slows down by what the cores share (caches, clock).
    busy_ms = stages["cpu_ms_total"] - stages["cpu_ms"]["infer"] + usable_cpus() / inference["fps"] * 1e3
    return {
        "pipeline_to_plain": piped["fps"] / plain["fps"],
        "pipeline_to_ceiling": piped["fps"] / stages["ceiling_fps"],
        "pipeline_to_busy_ceiling": piped["fps"] / (usable_cpus() / busy_ms * 1e3),
        "pipeline_to_inference": piped["fps"] / inference["fps"],
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All measurements, ``arguments.repeats`` times in turn."""
    backends = [arguments.backend, *([arguments.versus] if arguments.versus else [])]
    common = {"video": arguments.video, "model": arguments.model, "spec": arguments.spec, "frames": arguments.frames}
    jobs = {("plain",): {"what": "plain"}}
    for name in backends:
        jobs |= {
            (name, "inference", "latency"): {"what": "inference", "mode": "latency", "backend": name},
            (name, "inference", "throughput"): {"what": "inference", "mode": "throughput", "backend": name},
            (name, "stages"): {"what": "stages", "backend": name},
            (name, "pipeline"): {"what": "pipeline", "backend": name},
        }
    runs: dict[tuple[str, ...], list[dict[str, Any]]] = {key: [] for key in jobs}
    context = multiprocessing.get_context("spawn")
    for repeat in range(arguments.repeats):
        for key, job in jobs.items():
            with context.Pool(1) as pool:
                result = pool.apply(_measure, ({**common, **job},))
            if "error" in result:
                raise SystemExit(f"{' '.join(key)}: {result['error']}")
            runs[key].append(result)
            fps = result.get("fps", result.get("ceiling_fps"))
            print(f"[{repeat + 1}/{arguments.repeats}] {' '.join(key):40s} {fps:8.1f} fps", file=sys.stderr, flush=True)
    medians = {key: _median(values) for key, values in runs.items()}
    results: dict[str, Any] = {"plain": medians["plain",]}
    for name in backends:
        keys = (("plain",), (name, "pipeline"), (name, "stages"), (name, "inference", "throughput"))
        turns = zip(*(runs[key] for key in keys), strict=True)
        results[name] = {
            "pipeline": medians[name, "pipeline"],
            "inference": {mode: medians[name, "inference", mode] for mode in ("latency", "throughput")},
            "stages": medians[name, "stages"],
            "ratios": _median([_ratios(*turn) for turn in turns]),
        }
    if arguments.versus:
        pairs = zip(runs[arguments.versus, "pipeline"], runs[arguments.backend, "pipeline"], strict=True)
        ratio = statistics.median(one["fps"] / other["fps"] for one, other in pairs)
        results["ratios"] = {f"{arguments.versus}_to_{arguments.backend}": ratio}
    every_fps = {" ".join(key): [round(value.get("fps", 0.0), 2) for value in values] for key, values in runs.items()}
    return {**rounded(results), "fps_of_every_repeat": {key: value for key, value in every_fps.items() if any(value)}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", help="a video file")
    parser.add_argument("--model", required=True, help="bundle folder or .onnx file")
    parser.add_argument("--spec", help="the spec of a bare .onnx file")
    parser.add_argument("--backend", default="onnxruntime", help="backend to measure (default: onnxruntime)")
    parser.add_argument("--versus", help="a second backend to measure in turn, such as openvino")
    parser.add_argument("--frames", type=int, default=300, help="frames of each measurement (default: 300)")
    parser.add_argument("--repeats", type=int, default=3, help="turns; medians are reported (default: 3)")
    parser.add_argument("-o", "--output", type=Path, help="default: benchmarks/results/<device>-<backend>-<date>.json")
    arguments = parser.parse_args()
    if arguments.frames < 1 or arguments.repeats < 1:
        parser.error("--frames and --repeats must be 1 or more")
    file_name = "{device}-" + arguments.backend + "-{date}.json"
    record = Record("latency", arguments.output, file_name=file_name, packages=PACKAGES)
    settings = {
        "video": Path(arguments.video).name,
        "model": Path(arguments.model).name,
        "frames": arguments.frames,
        "repeats": arguments.repeats,
        "threads": {"plain": "each library's default", "latency": usable_cpus(), "throughput": "1 per replica"},
    }
    record.write(settings, measure(arguments))


if __name__ == "__main__":
    main()
