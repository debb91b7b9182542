"""Who is in the frame, and how tall: finders behind one seam, and the HeightMeter that applies the geometry."""

from edgedepth.people.base import PERSON, UPRIGHT_OBJECT, Candidate, PersonFinder
from edgedepth.people.detector import DetectorFinder
from edgedepth.people.geometric import GeometricFinder
from edgedepth.people.given import GivenPeople
from edgedepth.people.masks import MaskFinder
from edgedepth.people.measure import HeightMeter
from edgedepth.people.track import HeightTracker, TrackedHeight

__all__ = [
    "PERSON",
    "UPRIGHT_OBJECT",
    "Candidate",
    "DetectorFinder",
    "GeometricFinder",
    "GivenPeople",
    "HeightMeter",
    "HeightTracker",
    "MaskFinder",
    "PersonFinder",
    "TrackedHeight",
]
