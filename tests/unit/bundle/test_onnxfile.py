from __future__ import annotations

from pathlib import Path

import pytest

from edgedepth.bundle.onnxfile import external_files
from edgedepth.errors import BundleError


def test_a_whole_file_has_no_external_weights(make_onnx) -> None:
    assert external_files(make_onnx()) == ()


def test_external_weights_are_found_by_the_name_in_the_graph(make_onnx) -> None:
    assert external_files(make_onnx(external="some.weights")) == ("some.weights",)


def test_missing_external_weights_are_named(make_onnx) -> None:
    path = make_onnx(external="some.weights")
    (path.parent / "some.weights").unlink()
    with pytest.raises(BundleError, match=r"'some\.weights', which is missing"):
        external_files(path)


def test_weights_outside_the_folder_are_refused(make_onnx) -> None:
    path = make_onnx(external="some.weights")
    path.write_bytes(path.read_bytes().replace(b"some.weights", b"../e.weights"))
    with pytest.raises(BundleError, match="outside its own folder"):
        external_files(path)


def test_a_file_cut_off_anywhere_is_refused(make_onnx, tmp_path: Path) -> None:
    whole = make_onnx().read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BundleError, match="not a whole ONNX file"):
            external_files(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>not found</html>", "not a whole ONNX file"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(64), "not a whole ONNX file"),
        (b"\xff" * 40, "not a whole ONNX file"),
        (None, "no such file"),
    ],
    ids=["empty", "lfs", "html", "tflite", "ones", "missing"],
)
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "x.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError, match=expected) as caught:
        external_files(path)
    assert str(path) in str(caught.value)


def test_real_networks_are_whole(realdata: Path) -> None:
    for path in sorted(realdata.glob("nets/*/*.onnx")):
        assert external_files(path) == ()
