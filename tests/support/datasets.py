"""Tiny data sets in the true format of each kind, byte for byte what the readers of edgedepth.data expect to find.

Each writer returns what a reader must give, worked out from what was stored and not by a reader. Images show their
depth (near is bright), so a network can learn from them.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray


@dataclass
class Written:
    """What one sample must be."""

    id: str
    group: str
    image: NDArray[np.uint8]
    depth_m: NDArray[np.float32] | None


def scene(seed: int, width: int, height: int, near_m: float = 1.0, far_m: float = 5.0):
    """An image (uint8 RGB) and its depth (float32 metres): a wall, a floor and a box; a few holes (NaN)."""
    random = np.random.default_rng(seed)
    v, u = np.mgrid[0:height, 0:width]
    depth_m = np.full((height, width), far_m) - (far_m - near_m) * 0.6 * (v / height)
    x, y = random.integers(0, width // 2), random.integers(0, height // 2)
    depth_m[y : y + height // 2, x : x + width // 2] = near_m * random.uniform(1.0, 1.8)
    bright = np.clip(255 * near_m / depth_m, 0, 255)
    image = np.stack([bright, 200 * u / width, 255 - bright], axis=2).astype(np.uint8)
    depth_m = depth_m.astype(np.float32)
    holes = random.integers(0, height, 4), random.integers(0, width, 4)
    depth_m[holes] = np.nan
    depth_m[0, 0] = np.nan
    return image, depth_m


def stored(depth_m: NDArray[np.float32], metres_per_unit: float, dtype: type = np.uint16):
    """What a sensor writes: whole units, 0 where there is nothing."""
    return np.nan_to_num(np.round(depth_m / metres_per_unit)).astype(dtype)


def metres(units: NDArray[np.generic], metres_per_unit: float) -> NDArray[np.float32]:
    """What stored units are, NaN for 0."""
    found = (units.astype(np.float64) * metres_per_unit).astype(np.float32)
    found[units == 0] = np.nan
    return found


def save_rgb(path: Path, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Write an image; give back what a JPEG leaves of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix if path.suffix in (".png", ".jpg") else ".jpg"
    ok, content = cv2.imencode(suffix, image[:, :, ::-1])
    assert ok
    path.write_bytes(content.tobytes())
    return cv2.imdecode(content, cv2.IMREAD_COLOR)[:, :, ::-1]


def save_units(path: Path, units: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), units)


def write_nyu_mat(
    root: Path, scenes=("kitchen_0001a", "kitchen_0001b", "office_0002", "bath_0003"), size_wh=(64, 48),
    train=(1, 2), test=(3, 4),
) -> list[Written]:  # fmt: skip
    """nyu_depth_v2_labeled.mat as MATLAB 7.3 saves it (HDF5 behind a 512-byte text, axes in reverse) and splits.mat."""
    root.mkdir(parents=True, exist_ok=True)
    width, height = size_wh
    made = [scene(index, width, height) for index in range(len(scenes))]
    images = np.stack([image for image, _ in made])
    raw = np.stack([np.nan_to_num(depth) for _, depth in made])
    filled = np.where(raw > 0, raw, 2.5).astype(np.float32)
    path = root / "nyu_depth_v2_labeled.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        # A MATLAB array H x W x 3 x N is N x 3 x W x H to HDF5.
        file["images"] = images.transpose(0, 3, 2, 1)
        file["rawDepths"] = raw.transpose(0, 2, 1).astype(np.float32)
        file["depths"] = filled.transpose(0, 2, 1)
        cells = file.create_group("#refs#")
        references = file.create_dataset("scenes", (1, len(scenes)), dtype=h5py.ref_dtype)
        for index, name in enumerate(scenes):
            cells[f"s{index}"] = np.array([[ord(letter)] for letter in name], np.uint16)
            references[0, index] = cells[f"s{index}"].ref
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM")
    scipy.io.savemat(
        root / "splits.mat", {"trainNdxs": np.array([train]).T.astype("u2"), "testNdxs": np.array([test]).T}
    )
    groups = [name[:-1] if name[-1].isalpha() else name for name in scenes]
    return [
        Written(f"{i:05d}", groups[i], images[i], np.where(raw[i] > 0, raw[i], np.nan).astype(np.float32))
        for i in range(len(scenes))
    ]


def write_nyu_csv(root: Path, scenes=("kitchen_0001", "office_0002"), per_scene=2, tests=2, size_wh=(64, 48)):
    """data/nyu2_train.csv and data/nyu2_test.csv without a header; training depth of 8 and test depth of 16 bits.

    Returns the training and the test samples.
    """
    root = root / "data"
    parts: list[list[Written]] = [[], []]
    rows: list[list[str]] = [[], []]
    width, height = size_wh
    for part, folder, count in [(0, f"nyu2_train/{name}_out", per_scene) for name in scenes] + [
        (1, "nyu2_test", tests)
    ]:
        for number in range(count):
            image, depth_m = scene(len(parts[0]) + 10 * part, width, height)
            if part == 0:
                rgb, depth, unit_m = f"{number + 1}.jpg", f"{number + 1}.png", 10 / 255
                units = stored(depth_m, unit_m, np.uint8)
            else:
                rgb, depth, unit_m = f"{number:05d}_colors.png", f"{number:05d}_depth.png", 0.001
                units = stored(depth_m, unit_m)
            image = save_rgb(root / folder / rgb, image)
            save_units(root / folder / depth, units)
            rows[part].append(f"data/{folder}/{rgb},data/{folder}/{depth}")
            name = Path(folder).name
            stem = Path(rgb).stem
            group = name.removesuffix("_out") if part == 0 else f"{name}/{stem}"
            parts[part].append(Written(f"{name}/{stem}", group, image, metres(units, unit_m)))
    for part, name in enumerate(("train", "test")):
        (root / f"nyu2_{name}.csv").write_text("\n".join(rows[part]) + "\n")
    return parts


def write_diode(root: Path, scenes=(0, 1), scans=2, split="val", where="indoors", size_wh=(64, 48)) -> list[Written]:
    """Images, depth H x W x 1 and masks, named as DIODE names them."""
    written = []
    width, height = size_wh
    for scene_id in scenes:
        for scan in range(scans):
            folder = root / split / where / f"scene_{scene_id:05d}" / f"scan_{scan:05d}"
            folder.mkdir(parents=True, exist_ok=True)
            image, depth_m = scene(scene_id * 10 + scan, width, height)
            name = f"{scene_id:05d}_{scan:05d}_{where}_000_010"
            image = save_rgb(folder / f"{name}.png", image)
            valid = np.isfinite(depth_m)
            valid[1, 2] = False  # masked, with a number below
            np.save(folder / f"{name}_depth.npy", np.nan_to_num(depth_m)[:, :, None].astype(np.float32))
            np.save(folder / f"{name}_depth_mask.npy", valid.astype(np.float32))
            depth_m[~valid] = np.nan
            identity = (folder / name).relative_to(root).as_posix()
            written.append(Written(identity, folder.parent.name, image, depth_m))
    return written


def write_diw(root: Path, count=4, split="test", size_wh=(64, 48)) -> list[Written]:
    """A list of two lines per image. The box is nearer than the wall: its point is A in every other image."""
    folder = "DIW_test" if split == "test" else "DIW_train_val"
    written, lines = [], []
    width, height = size_wh
    for index in range(count):
        image, depth_m = scene(index, width, height)
        depth_m = np.nan_to_num(depth_m, nan=3.0)
        name = f"{folder}/{index:04x}.thumb"
        image = save_rgb(root / name, image)
        nearest, farthest = (np.unravel_index(f(depth_m), depth_m.shape) for f in (np.argmin, np.argmax))
        (ya, xa), (yb, xb) = (nearest, farthest) if index % 2 else (farthest, nearest)
        # From 1, y before x, then the relation and the size of the image.
        lines += [f"./{name}", f"{ya + 1},{xa + 1},{yb + 1},{xb + 1},{'<' if index % 2 else '>'},{width},{height}"]
        written.append(Written(name.removesuffix(".thumb"), name.removesuffix(".thumb"), image, None))
    (root / f"DIW_{split}.csv").write_text("\n".join(lines) + "\n")
    return written


KITTI_CALIBRATION = """calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
S_02: 1.392000e+03 5.120000e+02
S_rect_02: {w:e} {h:e}
R_rect_02: 1 0 0 0 1 0 0 0 1
P_rect_02: 7.215377e+02 0.0 {cx:e} 4.485728e+01 0.0 7.215377e+02 {cy:e} 2.163791e-01 0 0 1 2.745884e-03
S_rect_03: {w:e} {h:e}
P_rect_03: 7.215377e+02 0.000000e+00 {cx:e} -3.395242e+02 0.0 7.215377e+02 {cy:e} 2.199936e+00 0 0 1 2.729905e-03
"""


def write_kitti(root: Path, drives=(("2011_09_26", 1, "train"), ("2011_09_28", 2, "val")), frames=2, size_wh=(124, 37)):
    """Raw drives with annotated depth in the same folder; a tenth of the real size, focal length as published."""
    written = []
    width, height = size_wh
    for date, number, split in drives:
        drive = f"{date}_drive_{number:04d}_sync"
        for frame in range(5, 5 + frames):
            image, depth_m = scene(number * 100 + frame, width, height, 6.0, 60.0)
            image = save_rgb(root / date / drive / "image_02" / "data" / f"{frame:010d}.png", image)
            depth_m[::2] = np.nan  # a laser leaves most pixels empty
            units = stored(depth_m, 1 / 256)
            truth = root / split / drive / "proj_depth" / "groundtruth" / "image_02" / f"{frame:010d}.png"
            save_units(truth, units)
            written.append(Written(f"{drive}/image_02/{frame:010d}", drive, image, metres(units, 1 / 256)))
        calibration = KITTI_CALIBRATION.format(w=width, h=height, cx=60.95593, cy=17.2854)
        (root / date / "calib_cam_to_cam.txt").write_text(calibration)
    return written


def write_tum(root: Path, name="rgbd_dataset_freiburg3_office", frames=3, size_wh=(64, 48), delay_s=0.01):
    """One sequence; depth is ``delay_s`` behind its image, ground truth at 100 Hz moves 1 m/s along x."""
    folder = root / name
    width, height = size_wh
    written: list[Written] = []
    lists: dict[str, list[str]] = {"rgb": ["# color images", "# timestamp filename"], "depth": ["# depth maps"]}
    for index in range(frames):
        rgb_s = 1305031102.175304 + index / 30
        depth_s = rgb_s + delay_s
        image, depth_m = scene(index, width, height)
        image = save_rgb(folder / "rgb" / f"{rgb_s:.6f}.png", image)
        units = stored(depth_m, 1 / 5000)
        save_units(folder / "depth" / f"{depth_s:.6f}.png", units)
        lists["rgb"].append(f"{rgb_s:.6f} rgb/{rgb_s:.6f}.png")
        lists["depth"].append(f"{depth_s:.6f} depth/{depth_s:.6f}.png")
        written.append(Written(f"{name}/{rgb_s:.6f}", name, image, metres(units, 1 / 5000)))
    for what, lines in lists.items():
        (folder / f"{what}.txt").write_text("\n".join(lines) + "\n")
    times_s = 1305031102.175304 + np.arange(-2, 4 * frames) / 100
    poses = [f"{t:.4f} {t - 1305031102.1753:.4f} 0 1.5 0.0 0.7071 0.0 0.7071" for t in times_s]
    (folder / "groundtruth.txt").write_text("# timestamp tx ty tz qx qy qz qw\n" + "\n".join(poses) + "\n")
    return written


def write_scannet(root: Path, scans=("scene0000_00", "scene0000_01", "scene0001_00"), frames=2, size_wh=(64, 48)):
    """Exported scans. Colour is twice the size of depth; the last frame of each scan lost its tracking."""
    written = []
    width, height = size_wh
    for number, name in enumerate(scans):
        folder = root / name
        for part in ("pose", "intrinsic"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        K = np.eye(4)
        K[0, 0], K[1, 1], K[0, 2], K[1, 2] = 57.787, 57.8729, 31.9219, 23.9603
        np.savetxt(folder / "intrinsic" / "intrinsic_depth.txt", K, fmt="%.6f")
        np.savetxt(folder / "intrinsic" / "intrinsic_color.txt", np.diag([2.0, 2.0, 1.0, 1.0]) @ K, fmt="%.6f")
        for frame in range(frames):
            image, depth_m = scene(number * 10 + frame, width, height)
            save_rgb(folder / "color" / f"{frame}.jpg", cv2.resize(image, (2 * width, 2 * height)))
            units = stored(depth_m, 0.001)
            save_units(folder / "depth" / f"{frame}.png", units)
            T = np.eye(4)
            T[:3, 3] = (frame, 0.5, 1.5)
            np.savetxt(folder / "pose" / f"{frame}.txt", T if frame < frames - 1 else np.full((4, 4), -np.inf))
            written.append(Written(f"{name}/{frame}", name[:-3], image, metres(units, 0.001)))
    return written


def write_open3d(root: Path, frames=3, size_wh=(64, 48)) -> list[Written]:
    """color/, depth/ and camera_intrinsic.json, its matrix column by column."""
    written = []
    width, height = size_wh
    for frame in range(frames):
        image, depth_m = scene(frame, width, height)
        image = save_rgb(root / "color" / f"{frame:06d}.jpg", image)
        units = stored(depth_m, 0.001)
        save_units(root / "depth" / f"{frame:06d}.png", units)
        written.append(Written(f"color/{frame:06d}", root.name, image, metres(units, 0.001)))
    matrix = [52.5, 0, 0, 0, 52.5, 0, 31.5, 23.5, 1]
    camera = {"width": width, "height": height, "intrinsic_matrix": matrix}
    (root / "camera_intrinsic.json").write_text(json.dumps(camera))
    return written


def write_sunrgbd(root: Path, size_wh=(64, 48), tilt_deg=10.0) -> list[Written]:
    """Frames of two sensors and allsplit.mat, whose paths begin on the machine of its authors."""
    places = (
        "kv1/NYUdata/NYU0001",
        "kv1/NYUdata/NYU0002",
        "xtion/sun3ddata/brown_bm_1/brown_bm_1/0000103-000003419349",
    )
    written = []
    width, height = size_wh
    c, s = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    for number, place in enumerate(places):
        folder = root / place
        image, depth_m = scene(number, width, height, 1.0, 9.0)
        image = save_rgb(folder / "image" / f"{folder.name}.jpg", image)
        mm = stored(depth_m, 0.001)
        rotated = (mm << 3) | (mm >> 13)  # what ((d >> 3) | (d << 13)) undoes
        save_units(folder / "depth" / f"{folder.name}.png", rotated)
        filled = np.where(mm == 0, 2000, mm).astype(np.uint16)
        save_units(folder / "depth_bfx" / f"{folder.name}.png", (filled << 3) | (filled >> 13))
        (folder / "intrinsics.txt").write_text("51.8857 0 28.4582 \n0 51.9469 20.8736 \n0 0 1 \n")
        (folder / "extrinsics").mkdir()
        rows = [[1, 0, 0, 0], [0, c, s, 0], [0, -s, c, 0]]  # looking down by the tilt
        text = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in rows)
        (folder / "extrinsics" / "20141103_1.txt").write_text(text + "\n")
        depth = metres(mm, 0.001)
        depth[depth > 8] = np.nan
        written.append(Written(place, "brown_bm_1" if "sun3d" in place else place, image, depth))
    paths = [f"/n/fs/sun3d/data/SUNRGBD/{place}/" for place in places]
    cells = {"alltrain": paths[:1], "alltest": paths[1:]}
    scipy.io.savemat(
        root / "allsplit.mat", {key: np.array([[path] for path in value], object).T for key, value in cells.items()}
    )
    return written


CHILD_CALIBRATION = """Color camera intrinsic:
0.6786797 0.90489584 0.49585155 0.5035042
Depth camera intrinsic:
0.6786797 0.90489584 0.49585155 0.5035042
"""


def write_child(root: Path, scans=("1ddd253e", "8dde859a"), frames=3, size_wh=(48, 36)) -> list[Written]:
    """Scans around a child as cgm-scanner stores them: on their side, depth and confidence in a ZIP."""
    written = []
    width, height = size_wh
    for number, name in enumerate(scans):
        folder = root / "360_scan" / name
        for part in ("depth", "calibration"):
            (folder / part).mkdir(parents=True)
        (folder / "calibration" / "0").write_text(CHILD_CALIBRATION)
        for frame in range(frames):
            # The child stands upright; the sensor lies on its side: turned back by 90 degrees counter-clockwise.
            image, depth_m = scene(number * 10 + frame, height, width, 0.8, 2.5)
            units = stored(depth_m, 0.001)
            side = np.rot90(units)
            confidence = np.full(side.shape, 7, np.uint8)
            confidence[:2] = 1
            planes = np.stack([side >> 8, side & 255, confidence], axis=2).astype(np.uint8)
            with zipfile.ZipFile(folder / "depth" / str(frame), "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("data", f"{width}x{height}_0.001_7\n".encode() + planes.tobytes())
            save_rgb(folder / "rgb" / str(frame), np.rot90(cv2.resize(image, (2 * height, 2 * width))).copy())
            written.append(Written(f"360_scan/{name}/{frame}", name, image, metres(units, 0.001)))
    return written


def write_rgbd(root: Path, frames=3, size_wh=(64, 48)) -> list[Written]:
    """A manifest of pairs, the first two of one scene, with cameras and poses."""
    entries, written = [], []
    width, height = size_wh
    for frame in range(frames):
        image, depth_m = scene(frame, width, height)
        name = "room_0" if frame == 0 else "room_1" if frame == 1 else f"hall_{frame}"
        image = save_rgb(root / "pairs" / name / "rgb.png", image)
        units = stored(depth_m, 0.001)
        save_units(root / "pairs" / name / "depth.png", units)
        T = np.eye(4)
        T[0, 3] = frame
        camera = {"fx": 52.5, "fy": 52.5, "cx": 31.5, "cy": 23.5}
        entries.append(
            {"id": name, "rgb": f"pairs/{name}/rgb.png", "depth": f"pairs/{name}/depth.png", "K": camera,
             "rgb_wh": [width, height], "depth_scale_m": 0.001, "T_world_camera": T.tolist()}
        )  # fmt: skip
        written.append(Written(name, name.rpartition("_")[0], image, metres(units, 0.001)))
    (root / "manifest.json").write_text(json.dumps(entries))
    return written
