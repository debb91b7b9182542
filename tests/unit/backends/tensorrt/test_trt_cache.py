"""The engine cache: what is loaded, what is built again and why, and what is not even read."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgedepth.backends.tensorrt.builder import Build
from edgedepth.backends.tensorrt.cache import CachedEngine, EngineCache, default_cache_root
from edgedepth.backends.tensorrt.key import key_of
from edgedepth.errors import EngineError

PARTS: dict[str, Any] = {"format": 1, "onnx_sha256": "ab" * 32, "tensorrt": "10.3.0", "device": "Orin", "sm": "SM87"}
OTHER = {**PARTS, "tensorrt": "10.13.3.9"}
PLAN = bytes(range(1, 251)) * 40


def built(plan: bytes = PLAN) -> Build:
    return Build(plan, 1.5, True, ("a warning",))


def never() -> Build:
    raise AssertionError("nothing was to be built")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


@pytest.fixture
def folder(cache: EngineCache) -> Path:
    """Holds a good engine of PARTS."""
    return cache.put(PARTS, built()).folder


def rebuilt_because(cache: EngineCache, parts: dict[str, Any] = PARTS) -> str:
    """Why the engine was built again; fails when it was not."""
    said: list[str] = []
    fresh = cache.get_or_build(parts, lambda: built(b"fresh" * 100), report=said.append)
    assert fresh.plan == b"fresh" * 100
    assert cache.get_or_build(parts, never).plan == b"fresh" * 100
    assert len(said) == 1
    assert said[0].endswith("building it again")
    return said[0]


def test_an_engine_is_built_once(cache: EngineCache) -> None:
    first = cache.get_or_build(PARTS, built)
    again = EngineCache(cache.root).get_or_build(PARTS, never)
    assert first.plan == again.plan == PLAN
    assert again.record.warnings == ("a warning",)
    assert again.record.parts == PARTS
    assert again.folder.name == again.key == key_of(PARTS)


@pytest.mark.parametrize("part", [*PARTS, "new_part"])
def test_every_part_of_the_key_counts(cache: EngineCache, folder: Path, part: str) -> None:
    different = {**PARTS, part: "something else"}
    assert key_of(different) != key_of(PARTS)
    assert cache.get(different) is None


def test_the_key_does_not_depend_on_the_order_of_its_parts() -> None:
    assert key_of(PARTS) == key_of(dict(reversed(PARTS.items())))


def test_building_again_on_request(cache: EngineCache, folder: Path) -> None:
    assert cache.get_or_build(PARTS, lambda: built(b"new"), rebuild=True).plan == b"new"
    assert cache.get_or_build(PARTS, never).plan == b"new"


# What must not be loaded, each with its own message.


def test_an_engine_of_zeros(cache: EngineCache, folder: Path) -> None:
    (folder / "engine.plan").write_bytes(bytes(len(PLAN)))
    assert re.search(r"engine\.plan is full of zeros.*power cut", rebuilt_because(cache))


@pytest.mark.parametrize("length", [0, 1, len(PLAN) // 2, len(PLAN) - 1])
def test_an_engine_cut_off(cache: EngineCache, folder: Path, length: int) -> None:
    (folder / "engine.plan").write_bytes(PLAN[:length])
    assert re.search(rf"has {length} bytes, its record says {len(PLAN)}: it was cut off", rebuilt_because(cache))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(position=st.integers(0, len(PLAN) - 1), bit=st.integers(0, 7))
def test_an_engine_with_one_bit_flipped(cache: EngineCache, folder: Path, position: int, bit: int) -> None:
    damaged = bytearray(PLAN)
    damaged[position] ^= 1 << bit
    (folder / "engine.plan").write_bytes(damaged)
    assert cache.get(PARTS) == f"{folder / 'engine.plan'} is damaged: its SHA-256 is not the one in its record"


def test_an_engine_under_another_key(cache: EngineCache, folder: Path) -> None:
    """As when somebody copies the engine of an older TensorRT to where the newer one's is looked for."""
    folder.rename(cache.folder(key_of(OTHER)))
    assert "is another one: tensorrt 10.3.0 (here 10.13.3.9)" in rebuilt_because(cache, OTHER)


def test_a_plan_of_another_engine(cache: EngineCache, folder: Path) -> None:
    other = cache.put(OTHER, built(PLAN[::-1])).folder
    (folder / "engine.plan").write_bytes((other / "engine.plan").read_bytes())
    assert "its SHA-256 is not the one in its record" in rebuilt_because(cache)


def test_a_record_that_was_edited(cache: EngineCache, folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    record["parts"]["tensorrt"] = "10.13.3.9"
    (folder / "record.json").write_text(json.dumps(record))
    assert "disagrees with itself" in rebuilt_because(cache)


def test_no_record(cache: EngineCache, folder: Path) -> None:
    (folder / "record.json").unlink()
    assert re.search(r"record\.json is missing.*nothing vouches for the engine beside it", rebuilt_because(cache))


def test_no_plan(cache: EngineCache, folder: Path) -> None:
    (folder / "engine.plan").unlink()
    assert re.search(r"engine\.plan is missing; only its record is there", rebuilt_because(cache))


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", '{"schema_version": 2}', "\x00" * 64, "\udcff"],
    ids=["empty", "cut", "null", "list", "nothing", "newer", "zeros", "not-utf8"],
)
def test_a_garbled_record(cache: EngineCache, folder: Path, text: str) -> None:
    (folder / "record.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert re.search(r"record\.json is damaged: ", rebuilt_because(cache))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_a_record_with_one_byte_changed_never_passes_for_another(cache: EngineCache, folder: Path, data) -> None:
    """Either it is found out, or what the engine is loaded by (its key and checksum) is untouched."""
    path = folder / "record.json"
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[position] = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[position]))
    path.write_bytes(changed)
    found = cache.get(PARTS)
    path.write_bytes(whole)
    if isinstance(found, CachedEngine):
        assert (found.record.key, found.plan) == (key_of(PARTS), PLAN)


def test_an_interrupted_replacement_is_found_out(cache: EngineCache, folder: Path) -> None:
    """The plan is written before its record: a power cut between the two leaves the new plan with the old record."""
    (folder / "engine.plan").write_bytes(b"a longer plan than before" * 1000)
    assert "cut off or exchanged" in rebuilt_because(cache)


# What is not even read.


@pytest.mark.parametrize("name", ["", "engine.plan", "record.json"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_may_write_is_not_read(cache: EngineCache, folder: Path, name: str, mode: int) -> None:
    path = folder / name
    path.chmod(path.stat().st_mode | mode)
    for attempt in (lambda: cache.get(PARTS), lambda: cache.get_or_build(PARTS, never)):
        with pytest.raises(EngineError, match=f"{path} may be written by others .*run: chmod go-w {path}"):
            attempt()
    path.chmod(path.stat().st_mode & ~mode)
    assert cache.get_or_build(PARTS, never).plan == PLAN


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_cache_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    root = tmp_path / "engines"
    root.mkdir()
    root.chmod(mode)
    with pytest.raises(EngineError, match=f"may be written by others .*chmod go-w {root}"):
        EngineCache(root)


@pytest.mark.parametrize("name", ["", "engine.plan", "record.json"])
def test_what_belongs_to_another_is_not_read(
    cache: EngineCache, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / name
    mine = path.stat().st_uid
    try:
        os.chown(path, mine + 1, -1)
    except PermissionError:  # only root gives files away: let this process be somebody else instead
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
        path = folder
    with pytest.raises(EngineError, match=rf"{path} belongs to user \d+, not to \d+.*sudo chown -R"):
        cache.get(PARTS)


def test_links_and_pipes_are_not_followed(cache: EngineCache, folder: Path, tmp_path: Path) -> None:
    plan = folder / "engine.plan"
    plan.rename(tmp_path / "elsewhere")
    plan.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EngineError, match=f"is a link; remove it: rm {plan}"):
        cache.get(PARTS)
    plan.unlink()
    os.mkfifo(plan, 0o600)
    with pytest.raises(EngineError, match="is not a regular file"):
        cache.get(PARTS)


def test_everything_is_the_users_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cache = EngineCache(tmp_path / "engines")
        folder = cache.get_or_build(PARTS, built).folder
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (cache.root, folder, *folder.iterdir())}
    assert modes == {"engines": 0o700, folder.name: 0o700, "engine.plan": 0o600, "record.json": 0o600}
    assert cache.get_or_build(PARTS, never).plan == PLAN


def test_a_file_in_the_way_of_the_cache(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("")
    with pytest.raises(EngineError, match="engines is not a folder"):
        EngineCache(tmp_path / "engines")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_root() == Path("/somewhere/edgedepth/engines")
    for unset in ("", "relative/path"):  # the base directory specification: relative paths are ignored
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert default_cache_root() == Path.home() / ".cache/edgedepth/engines"


# Proof.


def test_a_proof_stays_with_its_plan(cache: EngineCache, folder: Path) -> None:
    engine = cache.get_or_build(PARTS, never)
    assert engine.proof is None
    engine.record_proof({"relative_error": 0.001})
    assert engine.proof == {"relative_error": 0.001}
    assert cache.get_or_build(PARTS, never).record.gate == {"relative_error": 0.001}
    assert cache.get_or_build(PARTS, built, rebuild=True).proof is None


def test_the_proof_of_a_plan_that_was_replaced_meanwhile_is_not_recorded(cache: EngineCache, folder: Path) -> None:
    engine = cache.get_or_build(PARTS, never)
    cache.get_or_build(PARTS, lambda: built(b"newer"), rebuild=True)
    engine.record_proof({"relative_error": 0.001})
    assert cache.proof(key_of(PARTS)) is None
    cache.record_proof(key_of(PARTS), {"relative_error": 0.001})
    assert cache.proof(key_of(PARTS)) == {"relative_error": 0.001}
    assert engine.proof is None


def test_no_proof_of_what_is_not_there(cache: EngineCache, folder: Path) -> None:
    engine = cache.get_or_build(PARTS, never)
    (folder / "record.json").write_text("{")
    assert engine.proof is None
    with pytest.raises(EngineError, match=r"no proof can be recorded: .*record\.json is damaged"):
        engine.record_proof({})
    with pytest.raises(EngineError, match="no proof can be recorded: there is no engine at"):
        cache.record_proof(key_of(OTHER), {})


# Several at once.


def _race(root: Path, barrier: Any, log: Path) -> None:
    def slow_build() -> Build:
        with log.open("a") as file:
            file.write("built\n")
        time.sleep(0.3)
        return built()

    barrier.wait(30)
    engine = EngineCache(root).get_or_build(PARTS, slow_build)
    assert engine.plan == PLAN


def test_processes_that_want_one_engine_build_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, log = context.Barrier(3), tmp_path / "log"
    racers = [context.Process(target=_race, args=(tmp_path / "engines", barrier, log)) for _ in range(3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    assert log.read_text() == "built\n"


def test_threads_that_want_one_engine_build_it_once_and_say_that_they_wait(cache: EngineCache) -> None:
    builds, said, building = [], [], threading.Event()

    def slow_build() -> Build:
        builds.append(1)
        building.set()
        while not said:
            time.sleep(0.01)
        return built()

    threads = [threading.Thread(target=cache.get_or_build, args=(PARTS, slow_build), kwargs={"report": said.append})]
    threads[0].start()
    assert building.wait(30)
    threads.append(
        threading.Thread(target=cache.get_or_build, args=(PARTS, slow_build), kwargs={"report": said.append})
    )
    threads[1].start()
    for thread in threads:
        thread.join(30)
    assert (builds, said) == ([1], ["another process is building this engine; waiting for it"])


def test_a_failed_build_leaves_nothing_and_gives_the_lock_back(cache: EngineCache) -> None:
    def fails() -> Build:
        raise EngineError("no")

    with pytest.raises(EngineError, match="no"):
        cache.get_or_build(PARTS, fails)
    assert not cache.folder(key_of(PARTS)).exists()
    assert cache.get_or_build(PARTS, built).plan == PLAN
