"""``python -m edgedepth``."""

from edgedepth.cli import main

if __name__ == "__main__":
    main()
