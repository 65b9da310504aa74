"""Limits of containers are read as the kernel writes them; the files are made up."""

from __future__ import annotations

import math
import os
from pathlib import Path

import joblib
import pytest

from autometa._support.machine import available_bytes, jobs_at_a_time, usable_cores

MIB = 2**20
N_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
NO_LIMIT_V1 = 9223372036854771712


def write(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return root


def meminfo(available_mib: int) -> dict[str, object]:
    return {"proc/meminfo": f"MemTotal: 99999999 kB\nMemAvailable:   {available_mib * 1024} kB"}


def version_2(group: str = "/", mounted: str = "/") -> dict[str, object]:
    return {
        "proc/self/cgroup": f"0::{group}",
        "proc/self/mountinfo": f"29 22 0:26 {mounted} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate",
    }


def version_1(group: str, mounted: str = "/") -> dict[str, object]:
    return {
        "proc/self/cgroup": f"5:memory:{group}\n4:cpu,cpuacct:{group}\n1:name=systemd:/init.scope\n0::/init.scope",
        "proc/self/mountinfo": "\n".join(
            [
                "20 1 8:1 / / rw,relatime - ext4 /dev/root rw",
                f"33 31 0:30 {mounted} /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory",
                f"34 31 0:31 {mounted} /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct",
                "41 31 0:37 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
            ]
        ),
    }


def memory_2(folder: str, limit: object, usage_mib: int, inactive_mib: int = 0) -> dict[str, object]:
    return {
        f"sys/fs/cgroup{folder}/memory.max": limit,
        f"sys/fs/cgroup{folder}/memory.current": usage_mib * MIB,
        f"sys/fs/cgroup{folder}/memory.stat": f"anon 1\ninactive_file {inactive_mib * MIB}\nactive_file 7",
    }


def memory_1(folder: str, limit: object, usage_mib: int, inactive_mib: int = 0) -> dict[str, object]:
    return {
        f"sys/fs/cgroup/memory{folder}/memory.limit_in_bytes": limit,
        f"sys/fs/cgroup/memory{folder}/memory.usage_in_bytes": usage_mib * MIB,
        f"sys/fs/cgroup/memory{folder}/memory.stat": f"cache 1\ntotal_inactive_file {inactive_mib * MIB}",
    }


def test_without_a_container_the_machine_decides(tmp_path):
    assert available_bytes(write(tmp_path, meminfo(700))) == 700 * MIB


def test_a_system_that_says_nothing_counts_as_four_gibibytes(tmp_path):
    assert available_bytes(tmp_path) == 4 * 2**30
    assert usable_cores(tmp_path) == N_CORES


def test_limit_of_version_2_counts_and_dropped_files_are_free(tmp_path):
    write(tmp_path, meminfo(9000) | version_2() | memory_2("", 1000 * MIB, 600, 250))
    assert available_bytes(tmp_path) == 650 * MIB


def test_smallest_limit_of_the_groups_around_counts(tmp_path):
    inner, outer = memory_2("/pods/mine", "max", 300), memory_2("/pods", 800 * MIB, 500)
    write(tmp_path, meminfo(9000) | version_2("/pods/mine") | inner | outer)
    assert available_bytes(tmp_path) == 300 * MIB


def test_machine_counts_where_the_limit_is_larger(tmp_path):
    write(tmp_path, meminfo(100) | version_2() | memory_2("", 1000 * MIB, 600))
    assert available_bytes(tmp_path) == 100 * MIB


def test_limit_of_version_1_counts(tmp_path):
    files = version_1("/docker/c7") | memory_1("/docker/c7", 512 * MIB, 500, 100) | memory_1("", NO_LIMIT_V1, 5000)
    assert available_bytes(write(tmp_path, meminfo(9000) | files)) == 112 * MIB


@pytest.mark.parametrize("version", [1, 2])
def test_container_that_sees_its_own_part_of_the_hierarchy_is_found(tmp_path, version):
    # Paths are those of the host, mounts begin at the container's group.
    if version == 1:
        files = version_1("/docker/c7", mounted="/docker/c7") | memory_1("", 512 * MIB, 500)
    else:
        files = version_2("/docker/c7", mounted="/docker/c7") | memory_2("", 512 * MIB, 500)
    assert available_bytes(write(tmp_path, meminfo(9000) | files)) == 12 * MIB


def test_group_outside_of_what_is_mounted_is_taken_for_the_mounted_one(tmp_path):
    files = version_2("/../../elsewhere", mounted="/here") | memory_2("", 512 * MIB, 500)
    assert available_bytes(write(tmp_path, meminfo(9000) | files)) == 12 * MIB


def test_memory_that_is_used_up_is_no_negative_memory(tmp_path):
    write(tmp_path, meminfo(9000) | version_2() | memory_2("", 100 * MIB, 150))
    assert available_bytes(tmp_path) == 0


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        (version_2() | {"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        (version_2() | {"sys/fs/cgroup/cpu.max": "20000 100000"}, 0.2),
        (version_2() | {"sys/fs/cgroup/cpu.max": "max 100000"}, math.inf),
        (version_2("/a/b") | {"sys/fs/cgroup/a/cpu.max": "100000 100000"}, 1),
        (
            version_1("/a")
            | {
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": 100000,
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": 100000,
            },
            1,
        ),
        (
            version_1("/a")
            | {
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": -1,
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": 100000,
            },
            math.inf,
        ),
    ],
)
def test_quota_of_cores_counts(tmp_path, files, quota):
    expected = N_CORES if math.isinf(quota) else min(N_CORES, math.ceil(quota))
    assert usable_cores(write(tmp_path, files)) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_affinity_counts():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == 1
        assert jobs_at_a_time(99) == jobs_at_a_time(-1) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_jobs_are_never_more_than_cores():
    assert jobs_at_a_time(99) == jobs_at_a_time(-1) == usable_cores()
    assert jobs_at_a_time(1) == jobs_at_a_time(None) == 1


def test_jobs_are_as_many_as_joblib_allows():
    with joblib.parallel_config(n_jobs=1):
        assert jobs_at_a_time(None) == 1
