from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from edgedepth.errors import OutputError
from edgedepth.output import PartFile, atomic_folder, atomic_output, output_errors


def test_appears_under_its_name_only_when_committed(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    part = PartFile(target)
    part.temporary.write_text("x", encoding="utf-8")
    assert not target.exists()
    assert part.temporary.suffix == ".txt"
    part.commit()
    part.commit()
    assert target.read_text(encoding="utf-8") == "x"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_output(tmp_path / "a") as temporary:
            temporary.write_text("x", encoding="utf-8")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), atomic_output(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise ZeroDivisionError
    assert target.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_symlink_stays_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old", encoding="utf-8")
    (tmp_path / "link.txt").symlink_to("real.txt")
    with atomic_output(tmp_path / "link.txt") as temporary:
        temporary.write_text("new", encoding="utf-8")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize(
    ("name", "says"),
    [("no/such/a.txt", "make the folder first"), ("file/a.txt", "not a folder"), ("folder", "it is a folder")],
)
def test_refused_before_any_work(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=says):
        PartFile(tmp_path / name)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_system_errors_are_mapped_to_one_line(code: int) -> None:
    with pytest.raises(OutputError) as caught, output_errors("out/x.mp4"):
        raise OSError(code, os.strerror(code))
    message = str(caught.value)
    assert message.startswith("cannot write out/x.mp4: ")
    assert "\n" not in message
    if code == errno.ENOSPC:
        assert "disk is full" in message


def test_devices_are_written_directly_and_never_replaced() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(OutputError, match="disk is full"), atomic_output("/dev/full") as temporary:
        assert temporary == Path("/dev/full")
        temporary.write_text("x", encoding="utf-8")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "above" / "model"
    with atomic_folder(target) as work:
        (work / "a").write_text("x", encoding="utf-8")
        assert not target.exists()
    assert (target / "a").read_text(encoding="utf-8") == "x"
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert [p.name for p in target.parent.iterdir()] == ["model"]


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "model") as work:
        (work / "a").write_text("x", encoding="utf-8")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="a file, not a folder; choose another path"),
        atomic_folder(tmp_path / "file" / "x"),
    ):
        pytest.fail("must not be entered")


def test_a_folder_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(OutputError, match="exists already"), atomic_folder(tmp_path / "model"):
        pytest.fail("must not be entered")


def test_a_folder_that_may_go_is_replaced_when_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "result"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(ZeroDivisionError), atomic_folder(target, replaces=lambda found: True):
        raise ZeroDivisionError
    assert [path.name for path in target.iterdir()] == ["old"]
    with atomic_folder(target, replaces=lambda found: (found / "old").exists()) as work:
        (work / "new").touch()
        assert (target / "old").exists()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    with pytest.raises(OutputError, match="exists already"), atomic_folder(target, replaces=lambda found: False):
        pytest.fail("must not be entered")
