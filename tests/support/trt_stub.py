"""Modules that look like TensorRT of a given version: their classes have exactly the names that version has.

The names were read from the real Python bindings of each version (``trt_api.json`` has those of the classes in use).
A name a version does not have raises AttributeError, when it is read and when it is set, as the real classes do.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

VERSIONS = ("8.6", "10.3", "10.7", "10.13", "10.16", "11.4", "rtx")
PLAN = b"the plan of a stub engine"


@cache
def api_names() -> dict[str, dict[str, Any]]:
    """Version -> {"version": ..., "api": class -> {"attr" or "enum": names}}."""
    return json.loads(Path(__file__).with_name("trt_api.json").read_text())


def names_of(version: str, owner: str) -> frozenset[str]:
    """Members of a class in a version."""
    entry = api_names()[version]["api"].get(owner, {})
    return frozenset([*entry.get("attr", ()), *entry.get("enum", ())])


@dataclass
class World:
    """How a stub behaves, and what was done with it.

    Attributes:
        parse_errors: what the parser finds, as arguments of ParserError's methods.
        shape: of the network's only input.
        build_messages: (severity, text) that the builder logs.
        plan: what is built; None is a failed build.
        phases: the progress a build reports: (name, parent, steps).
        dla_cores: as the builder counts them.
        builder_fails: the builder cannot be created.
        timing_cache_fits: whether stored timings are taken.
        used: (class, member) of everything that was touched on an object.
        flags: network creation flags.
        config: settings of the builder configuration.
        set_flags: builder flags, by name.
        workspace: of the workspace pool, bytes.
        targets: compute capabilities by index.
    """

    parse_errors: list[dict[str, Any]] = field(default_factory=list)
    build_messages: list[tuple[str, str]] = field(default_factory=list)
    plan: bytes | None = PLAN
    phases: list[tuple[str, str | None, int]] = field(default_factory=list)
    dla_cores: int = 2
    builder_fails: bool = False
    timing_cache_fits: bool = True
    used: set[tuple[str, str]] = field(default_factory=set)
    flags: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    set_flags: list[str] = field(default_factory=list)
    workspace: int | None = None
    targets: dict[int, str] = field(default_factory=dict)
    timings: list[bytes] = field(default_factory=list)
    logger: Any = None
    cancelled: bool = False


class _Member:
    """One name of a class: reading and setting are recorded; behaviour comes from ``_BEHAVIOUR``."""

    def __init__(self, owner: str, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: Any, _owner: type | None = None) -> Any:
        if instance is None:
            return self
        instance._world.used.add((self._owner, self._name))
        behaviour = _BEHAVIOUR.get((self._owner, self._name))
        if behaviour is not None:
            return behaviour(instance)
        return instance._state.get(self._name)

    def __set__(self, instance: Any, value: Any) -> None:
        instance._world.used.add((self._owner, self._name))
        instance._state[self._name] = value


class _Stub:
    def __init__(self, *arguments: Any) -> None:
        object.__setattr__(self, "_state", {})
        object.__setattr__(self, "_arguments", arguments)
        if type(self).__name__ == "Builder":
            if self._world.builder_fails:
                raise TypeError("pybind11::init(): factory function returned nullptr")
            self._world.logger = arguments[0]

    def __setattr__(self, name: str, value: Any) -> None:
        if type(self).__dict__.get("_is_exact") and name not in type(self).__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)


def make_trt(version: str) -> tuple[ModuleType, World]:
    """A module with the names of a version (one of ``VERSIONS``), and the World behind it."""
    entry = api_names()[version]
    world = World()
    trt = ModuleType("tensorrt_rtx" if version == "rtx" else "tensorrt")
    trt.__version__ = entry["version"]
    for owner, members in entry["api"].items():
        if "enum" in members:
            setattr(trt, owner, enum.IntEnum(owner, members["enum"], start=0))
            continue
        space: dict[str, Any] = {name: _Member(owner, name) for name in members["attr"]}
        space |= {"_world": world, "_trt": trt, "_is_exact": True}
        setattr(trt, owner, type(owner, (_Stub,), space))
    severity = enum.Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"])
    for member in severity:
        setattr(trt.ILogger, member.name, member)
    return trt, world


class _HostMemory:
    def __init__(self, data: bytes) -> None:
        self.nbytes = len(data)
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data


def _create_network(self: Any) -> Any:
    def create_network(flags: int = 0) -> Any:
        self._world.flags = flags
        return self._trt.INetworkDefinition()

    return create_network


def _parse_from_file(self: Any) -> Any:
    return lambda _path: not self._world.parse_errors


def _get_error(self: Any) -> Any:
    def get_error(index: int) -> Any:
        error = self._trt.ParserError()
        error._state.update(self._world.parse_errors[index])
        return error

    return get_error


def _of_error(name: str) -> Any:
    return lambda self: lambda: self._state[name]


def _build(self: Any) -> Any:
    def build_serialized_network(_network: Any, config: Any) -> Any:
        world = self._world
        world.config = dict(config._state)
        for severity, text in world.build_messages:
            world.logger.log(getattr(self._trt.ILogger, severity), text)
        monitor = config._state.get("progress_monitor")
        for name, parent, steps in world.phases if monitor else ():
            monitor.phase_start(name, parent, steps)
        for name, _, steps in reversed(world.phases if monitor else ()):
            for step in range(steps):
                if not monitor.step_complete(name, step):
                    world.cancelled = True
                    return None
            monitor.phase_finish(name)
        return None if world.plan is None else _HostMemory(world.plan)

    return build_serialized_network


def _set_flag(self: Any) -> Any:
    return lambda flag: self._world.set_flags.append(flag.name)


def _set_memory_pool_limit(self: Any) -> Any:
    def set_memory_pool_limit(_pool: Any, size: int) -> None:
        self._world.workspace = size

    return set_memory_pool_limit


def _set_compute_capability(self: Any) -> Any:
    def set_compute_capability(capability: Any, index: int) -> bool:
        self._world.targets[index] = capability.name
        return True

    return set_compute_capability


def _create_timing_cache(self: Any) -> Any:
    def create_timing_cache(data: bytes) -> Any:
        self._world.timings.append(data)
        cache = self._trt.ITimingCache()
        cache._state["data"] = data
        return cache

    return create_timing_cache


def _set_timing_cache(self: Any) -> Any:
    def set_timing_cache(cache: Any, _ignore_mismatch: bool) -> bool:
        fits = self._world.timing_cache_fits or not cache._state["data"]
        if fits:
            self._state["timing_cache"] = cache
        return fits

    return set_timing_cache


_BEHAVIOUR = {
    ("Builder", "create_network"): _create_network,
    ("Builder", "create_builder_config"): lambda self: self._trt.IBuilderConfig,
    ("Builder", "build_serialized_network"): _build,
    ("Builder", "num_DLA_cores"): lambda self: self._world.dla_cores,
    ("OnnxParser", "parse_from_file"): _parse_from_file,
    ("OnnxParser", "num_errors"): lambda self: len(self._world.parse_errors),
    ("OnnxParser", "get_error"): _get_error,
    ("ParserError", "node"): _of_error("node"),
    ("ParserError", "desc"): _of_error("desc"),
    ("ParserError", "node_name"): _of_error("node_name"),
    ("ParserError", "node_operator"): _of_error("node_operator"),
    ("IBuilderConfig", "set_flag"): _set_flag,
    ("IBuilderConfig", "set_memory_pool_limit"): _set_memory_pool_limit,
    ("IBuilderConfig", "set_compute_capability"): _set_compute_capability,
    ("IBuilderConfig", "create_timing_cache"): _create_timing_cache,
    ("IBuilderConfig", "set_timing_cache"): _set_timing_cache,
    ("IBuilderConfig", "get_timing_cache"): lambda self: lambda: self._state.get("timing_cache"),
    ("ITimingCache", "serialize"): lambda self: lambda: _HostMemory(self._state["data"] + b"+measured"),
}
