"""Arithmetic in the camera frame: rays and points, the floor, the scale, the height of a person. NumPy and OpenCV."""

from edgedepth.geometry.crown import HeadModel
from edgedepth.geometry.floor import FloorOptions, fit_floor
from edgedepth.geometry.height import HeightOptions, measure_height
from edgedepth.geometry.measurement import HeightMeasurement, Measurement
from edgedepth.geometry.plane import FloorPlane
from edgedepth.geometry.pointcloud import PointCloud
from edgedepth.geometry.projection import pixel_rays, points_at, points_from_depth, project_points, ray_grid
from edgedepth.geometry.scale import Scale, scale_from_camera_height, scale_from_depth, scale_from_floor

__all__ = [
    "FloorOptions",
    "FloorPlane",
    "HeadModel",
    "HeightMeasurement",
    "HeightOptions",
    "Measurement",
    "PointCloud",
    "Scale",
    "fit_floor",
    "measure_height",
    "pixel_rays",
    "points_at",
    "points_from_depth",
    "project_points",
    "ray_grid",
    "scale_from_camera_height",
    "scale_from_depth",
    "scale_from_floor",
]
