"""EdgeDepth: point a camera, get metres.

Metric depth at frame rate and the height of the people in view, on the device, with the number's error stated.
The conventions of every value here (frames, units, pixel centres, NaN) are in ``docs/conventions.md``.
"""

__version__ = "0.1.0.dev0"
