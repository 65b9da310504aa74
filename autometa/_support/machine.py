"""Finds the cores and the memory that this process may use, within the limits of its container."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_UNKNOWN_BYTES = 4 * 2**30


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use, at least 1.

    It is the smallest of the machine's cores, the process's affinity and the quotas of its control groups, rounded up.
    `root` holds the folders ``proc`` and ``sys``.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    n_cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quotas = [quota for folder in _control_groups("cpu", root) if (quota := _core_quota(folder)) is not None]
    return max(1, min(n_cores, *(math.ceil(quota) for quota in quotas)) if quotas else n_cores)


def jobs_at_a_time(n_jobs: int | None) -> int:
    """Return the number of workers that `n_jobs` asks for, as in joblib, at most one per usable core."""
    import joblib

    return min(joblib.effective_n_jobs(n_jobs), usable_cores())


def available_bytes(root: Path = Path("/")) -> int:
    """Return the bytes that this process and its children can use now; 4 GiB if the system does not tell.

    It is the smallest of the machine's available memory and what the limits of the process's control groups leave.
    Inactive cached files count as free. `root` holds the folders ``proc`` and ``sys``.
    """
    left = [free for folder in _control_groups("memory", root) if (free := _free_bytes(folder)) is not None]
    meminfo = _fields(root / "proc/meminfo")
    if "MemAvailable:" in meminfo:
        left.append(meminfo["MemAvailable:"] * 1024)
    return max(0, min(left)) if left else _UNKNOWN_BYTES


def _core_quota(folder: Path) -> float | None:
    """Return the number of cores that a control group allows, None without a limit."""
    quota, period = [*_words(folder / "cpu.max"), "", ""][:2]  # version 2
    if not quota:
        quota = "".join(_words(folder / "cpu.cfs_quota_us"))
        period = "".join(_words(folder / "cpu.cfs_period_us"))
    # "max" in version 2 and -1 in version 1 are no limit.
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _free_bytes(folder: Path) -> int | None:
    """Return the bytes left below the limit of a control group, None without a limit."""
    for limit_name, usage_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),  # version 2
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # version 1
    ):
        limit, usage = "".join(_words(folder / limit_name)), "".join(_words(folder / usage_name))
        if limit.isdigit() and usage.isdigit():
            cache = _fields(folder / "memory.stat").get(cache_name, 0)
            return int(limit) - max(0, int(usage) - cache)
    return None


def _control_groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, each followed by its parents."""
    paths: dict[str, str] = {}  # controller, or "" for version 2 → path below the root of its hierarchy
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        paths.update(dict.fromkeys(controllers.split(","), path))
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        mount, (kind, _, options) = before.split(), [*after.split(" ", 2), "", ""][:3]
        name = "" if kind == "cgroup2" else controller
        is_of_controller = kind == "cgroup2" or (kind == "cgroup" and controller in options.split(","))
        if not is_of_controller or name not in paths or len(mount) < 5:
            continue
        # A container may see only a part of the hierarchy, mounted with its path in the whole.
        mounted, group = PurePosixPath(mount[3]), PurePosixPath(paths[name])
        folder = root / mount[4].lstrip("/")
        inner = group.relative_to(mounted) if group.is_relative_to(mounted) else PurePosixPath()
        for part in (inner, *inner.parents):
            yield folder / part


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _fields(file: Path) -> dict[str, int]:
    """Return a file of lines like ``name 123`` as a dict."""
    pairs = [line.split() for line in _lines(file)]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) > 1 and pair[1].isdigit()}
