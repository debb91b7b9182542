"""Image sets: what a manifest may say, how a folder is split, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import number_of, write_images, write_rgbd, write_video
from numpy.typing import NDArray

from edgedepth.bundle.spec import InputSpec
from edgedepth.calibration.int8_set import ImageSet, check_image_set, load_image_set, network_feeds
from edgedepth.errors import CalibrationSetError
from edgedepth.types import Frame

Picture = NDArray[np.uint8]


def natural(seed: int) -> Picture:
    """Smooth blobs, as different for every seed as two photographs."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC)


def write(folder: Path, count: int, make: Callable[[int], Picture] = natural, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        cv2.imwrite(str(folder / f"{number}.png"), make(number))
    return folder


def manifest(folder: Path, text: str) -> Path:
    path = folder / "set.toml"
    path.write_text('name = "hall"\n' + text)
    return path


def two_parts(tmp_path: Path, calibrate: Path, held_out: Path) -> ImageSet:
    return load_image_set(
        manifest(
            tmp_path,
            f'[[entry]]\nsource = "{calibrate.name}"\nsplit = "calibrate"\n'
            f'[[entry]]\nsource = "{held_out.name}"\nsplit = "held_out"\n',
        )
    )


def numbers(frames: object) -> list[int]:
    return [frame.sequence for frame in frames]  # type: ignore[attr-defined]


def test_a_manifest_names_sources_of_every_kind_beside_it(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", frames=9)
    write_rgbd(tmp_path / "rooms", frames=6)
    write_images(tmp_path / "shots [a]", frames=4)
    found = load_image_set(
        manifest(
            tmp_path,
            '[[entry]]\nsource = "clip.mp4"\nsplit = "calibrate"\nstart = 1\nstride = 3\n'
            '[[entry]]\nsource = ["shots [[]a]/shot_*.png", "shots [a]/shot_0.png"]\nsplit = "calibrate"\n'
            '[[entry]]\nsource = "rooms"\nsplit = "held_out"\nstart = 2\nstop = 5\n'
            'intrinsics = "rooms/intrinsics.json"\n',
        )
    )
    assert found.name == "hall"
    assert [number_of(frame.image) for frame in found.calibration] == [1, 4, 7, 0, 1, 2, 3, 0]
    assert len(found.calibration) == 8
    assert numbers(found.held_out) == [2, 3, 4]
    assert [float(np.nanmax(frame.depth_m)) for frame in found.held_out] == pytest.approx([1.002, 1.003, 1.004])
    assert found.held_out[0].intrinsics is not None


def test_frames_by_number_in_any_order(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", frames=9)
    frames = load_image_set(
        manifest(
            tmp_path,
            '[[entry]]\nsource = "clip.mp4"\nsplit = "calibrate"\nstride = 2\n'
            '[[entry]]\nsource = "clip.mp4"\nsplit = "calibrate"\nstart = 1\nstop = 4\n',
        )
    ).calibration
    assert numbers(frames[i] for i in (0, 2, 1, 7, 4, -1)) == [0, 4, 2, 3, 8, 3]
    assert numbers(frames[5:]) == [1, 2, 3]
    with pytest.raises(IndexError):
        frames[8]


def test_a_folder_is_split_in_blocks_with_a_gap(tmp_path: Path) -> None:
    found = load_image_set(write(tmp_path / "walk", 40))
    assert numbers(found.calibration) == list(range(30))
    assert numbers(found.held_out) == list(range(32, 40))
    assert found.name == "walk"
    tiny = load_image_set(write(tmp_path / "two", 2))
    assert (len(tiny.calibration), len(tiny.held_out)) == (0, 1)


def test_a_long_recording_is_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgedepth.calibration.int8_set.MOST", 10)
    found = load_image_set(write(tmp_path / "walk", 40))
    assert numbers(found.calibration) == list(range(0, 28, 4))
    assert numbers(found.held_out) == [32, 36]


def test_a_sound_set_passes_and_its_digest_is_of_its_pixels(tmp_path: Path) -> None:
    write(tmp_path / "a", 110)
    write(tmp_path / "b", 12, first=200)
    found = two_parts(tmp_path, tmp_path / "a", tmp_path / "b")
    assert check_image_set(found) == ()
    again = two_parts(tmp_path, tmp_path / "a", tmp_path / "b")
    assert found.sha256 == again.sha256
    cv2.imwrite(str(tmp_path / "b" / "200.png"), natural(999))
    assert two_parts(tmp_path, tmp_path / "a", tmp_path / "b").sha256 != found.sha256


def test_few_images_are_allowed_and_said(tmp_path: Path) -> None:
    write(tmp_path / "a", 16)
    write(tmp_path / "b", 3, first=200)
    few, held_out = check_image_set(two_parts(tmp_path, tmp_path / "a", tmp_path / "b"))
    assert few.startswith("16 images calibrate")
    assert held_out.startswith("3 held-out images")


def blank(_: int) -> Picture:
    return np.zeros((48, 64, 3), np.uint8)


def dark(seed: int) -> Picture:
    """A lens cap with the sensor's noise."""
    return np.random.default_rng(seed).integers(0, 3, (48, 64, 3), dtype=np.uint8)


def noise(seed: int) -> Picture:
    return np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("make", "message"),
    [(blank, "20 of 23 images are blank"), (dark, "20 of 23 images are blank"), (noise, "20 of 23 images are noise")],
)
def test_images_that_show_nothing_are_refused(tmp_path: Path, make: Callable[[int], Picture], message: str) -> None:
    write(tmp_path / "a", 20, make)
    write(tmp_path / "b", 3)
    with pytest.raises(CalibrationSetError, match=rf"{message} .*0\.png"):
        check_image_set(two_parts(tmp_path, tmp_path / "a", tmp_path / "b"))


def test_too_few_or_the_same_again_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "held", 3, first=100)
    write(tmp_path / "few", 15)
    with pytest.raises(CalibrationSetError, match=r"at least 16 different images .* found 15"):
        check_image_set(two_parts(tmp_path, tmp_path / "few", tmp_path / "held"))
    write(tmp_path / "same", 20, lambda _: natural(1))
    with pytest.raises(CalibrationSetError, match="its 20 images to calibrate with are all the same"):
        check_image_set(two_parts(tmp_path, tmp_path / "same", tmp_path / "held"))
    write(tmp_path / "two", 20, lambda i: natural(i % 2))
    with pytest.raises(CalibrationSetError, match="found 2 beside 3 held out;"):
        check_image_set(two_parts(tmp_path, tmp_path / "two", tmp_path / "held"))


def test_what_judges_must_not_calibrate(tmp_path: Path) -> None:
    write(tmp_path / "a", 20)
    write(tmp_path / "b", 3, first=18)  # 18 and 19 are in both, under other paths
    with pytest.raises(CalibrationSetError, match=r"2 held-out images also calibrate, such as .*b/18\.png"):
        check_image_set(two_parts(tmp_path, tmp_path / "a", tmp_path / "b"))
    only = load_image_set(manifest(tmp_path, '[[entry]]\nsource = "a"\nsplit = "calibrate"\n'))
    with pytest.raises(CalibrationSetError, match="holds no frame out"):
        check_image_set(only)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('source = "gone.mp4"\nsplit = "calibrate"', "entry 1: no such file"),
        ('source = "a"\nsplit = "train"', "entry.0.split"),
        ('source = "a"\nsplit = "calibrate"\nstart = 9', "entry 1: start, stop and stride choose no frame of a"),
        ('source = "a"\nsplit = "calibrate"\nevery = 9', "unknown key entry.0.every"),
        ('source = "synthetic://?live=1"\nsplit = "calibrate"', "is live or does not know its length"),
    ],
)
def test_a_manifest_that_is_wrong_says_where(tmp_path: Path, entry: str, message: str) -> None:
    write(tmp_path / "a", 2)
    with pytest.raises(CalibrationSetError, match=message) as caught:
        load_image_set(manifest(tmp_path, f"[[entry]]\n{entry}\n"))
    assert "\n" not in str(caught.value)


def test_nothing_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(CalibrationSetError, match="no calibration set at"):
        load_image_set(tmp_path / "set.toml")
    with pytest.raises(CalibrationSetError, match="no such file"):
        load_image_set(tmp_path / "nowhere")


def test_a_frame_that_cannot_be_decoded_is_told_when_it_is_needed(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", 6)
    (folder / "3.png").write_bytes(b"not a picture")
    every = load_image_set(manifest(tmp_path, '[[entry]]\nsource = "a"\nsplit = "calibrate"\n'))
    with pytest.raises(CalibrationSetError, match=r"frame 3 cannot be read: .*3\.png"):
        list(every.calibration)
    others = load_image_set(manifest(tmp_path, '[[entry]]\nsource = "a"\nsplit = "calibrate"\nstride = 2\n'))
    assert numbers(others.calibration) == [0, 2, 4]


def test_a_recording_shorter_than_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", 4)
    monkeypatch.setattr("edgedepth.calibration.int8_set.count_frames", lambda *_: 6)
    found = load_image_set(manifest(tmp_path, '[[entry]]\nsource = "a"\nsplit = "calibrate"\n'))
    with pytest.raises(CalibrationSetError, match="ended after 4 frames; set stop = 4"):
        list(found.calibration)


def test_feeds_are_what_the_network_sees_at_run_time() -> None:
    spec = InputSpec(height=4, width=6, layout="NCHW", scale=1 / 255, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    grey = [Frame(np.full((8, 12, 3), level, np.uint8)) for level in (0, 255)]
    small, odd = network_feeds(spec, grey[:1]), network_feeds(spec, [*grey, Frame(np.full((5, 7, 3), 51, np.uint8))])
    assert next(small).shape == (1, 3, 4, 6)
    values = [np.unique(feed) for feed in list(odd)]  # kept: each is an array of its own
    assert values == [pytest.approx([-2.0]), pytest.approx([2.0]), pytest.approx([-1.2])]


@pytest.mark.parametrize(("images", "enough"), [(20, False), (21, True)])
def test_a_folder_needs_images_for_both_parts(tmp_path: Path, images: int, enough: bool) -> None:
    walk = load_image_set(write(tmp_path / "walk", images))
    if enough:
        check_image_set(walk)
        return
    with pytest.raises(CalibrationSetError, match="found 15 beside 4 held out"):
        check_image_set(walk)
