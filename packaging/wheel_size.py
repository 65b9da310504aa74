"""Fail if a wheel is larger than 20 MB: `python packaging/wheel_size.py FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

MOST_MB = 20.0

if __name__ == "__main__":
    size_mb = Path(sys.argv[1]).stat().st_size / 1e6
    sys.stdout.write(f"{sys.argv[1]}: {size_mb:.1f} MB\n")
    if size_mb > MOST_MB:
        sys.exit(f"The wheel may have at most {MOST_MB:g} MB.")
