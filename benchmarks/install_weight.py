"""What a plain `pip install autometa` brings, in MB: the distributions of this environment that autometa requires.

python -m benchmarks.install_weight
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement

_MB = 1e6


def required(name: str = "autometa") -> dict[str, float]:
    """Return the megabytes of each distribution that a distribution requires, without extras; largest first."""
    found: dict[str, float] = {}
    waiting = [name]
    while waiting:
        try:
            about = distribution(waiting.pop())
        except PackageNotFoundError:
            continue
        own = re.sub(r"[-_.]+", "-", about.metadata["Name"]).lower()
        if own in found:
            continue
        found[own] = sum(file.locate().stat().st_size for file in about.files or () if file.locate().is_file()) / _MB
        wanted = map(Requirement, about.requires or ())
        waiting += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def main() -> None:
    """Print a line per distribution, and the sum."""
    weights = required()
    for name, megabytes in weights.items():
        print(f"{name:<28} {megabytes:8.1f}")
    print(f"{'all ' + str(len(weights)):<28} {sum(weights.values()):8.1f}")


if __name__ == "__main__":
    main()
