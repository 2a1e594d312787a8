"""Control groups, in trees of files such as Linux shows them in."""

import pytest

from rnncli.system import control_groups

MB = 1_000_000
NO_LIMIT = 9223372036854771712  # of version 1
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
MEMORY = "36 31 0:32 {top} /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n"
CPU = "37 31 0:33 {top} /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
HYBRID = "38 31 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
OTHERS = "22 27 0:21 / /proc rw,relatime - proc proc rw\n27 1 254:0 / / rw - ext4 /dev/vda rw\n"


@pytest.fixture
def tree(tmp_path):
    """Make the files of a system, and return its root."""

    def make(group, mounts, files):
        contents = {"proc/self/cgroup": group, "proc/self/mountinfo": OTHERS + mounts}
        contents |= {f"sys/fs/cgroup/{name}": f"{content}\n" for name, content in files.items()}
        for name, content in contents.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        return tmp_path

    return make


def two(folder, limit, used, files=0, high="max"):
    """Memory of a group of version 2, in MB; `files` in pages that can be dropped."""
    stat = f"anon 7\nfile {files * MB}\ninactive_anon 7\ninactive_file {files * MB - 1000}\nactive_file 1000"
    return {
        f"{folder}memory.max": limit if limit == "max" else limit * MB,
        f"{folder}memory.high": high if high == "max" else high * MB,
        f"{folder}memory.current": used * MB,
        f"{folder}memory.stat": stat,
    }


def one(folder, limit, used, files=0):
    stat = f"cache 9\ninactive_file 5\nactive_file 5\ntotal_inactive_file {files * MB}\ntotal_active_file 0"
    return {
        f"memory/{folder}memory.limit_in_bytes": NO_LIMIT if limit is None else limit * MB,
        f"memory/{folder}memory.usage_in_bytes": used * MB,
        f"memory/{folder}memory.stat": stat,
    }


MEMORY_CASES = {
    "no groups": ("", "", {}, None),
    "v2, the root has no limits": ("0::/\n", V2, {"memory.stat": "inactive_file 5"}, None),
    "v2": ("0::/a/b\n", V2, two("a/b/", 300, 290, 250), 260),
    "v2, no limit": ("0::/a/b\n", V2, two("a/b/", "max", 290), None),
    "v2, no limit but slowed down": ("0::/a\n", V2, two("a/", "max", 290, high=400), 110),
    "v2, a group around it is tighter": ("0::/a/b\n", V2, two("a/b/", 900, 100) | two("a/", 300, 200, 50), 150),
    "v2, a group around it is wider": ("0::/a/b\n", V2, two("a/b/", 900, 100) | two("a/", 3000, 200), 800),
    "v2, another group": ("0::/a/b\n", V2, two("a/c/", 300, 200), None),
    "v2, more used than allowed": ("0::/a\n", V2, two("a/", 300, 310), 0),
    "v2, nothing used": ("0::/a\n", V2, two("a/", 300, 0), 300),
    "v2, of a namespace": ("0::/\n", V2, two("", 300, 200), 100),
    "v2, mounted within a group": (
        "0::/pod/box/own\n",
        V2.replace("0:26 /", "0:26 /pod/box"),
        two("own/", 500, 100) | two("", 300, 100, 10),
        210,
    ),
    "v2, mounted before the namespace was made": ("0::/\n", V2.replace("0:26 /", "0:26 /box"), two("", 300, 200), 100),
    "v2, beside its namespace": ("0::/../other\n", V2, two("", 300, 200) | two("other/", 1, 1), 100),
    "v2, a name with a space": ("0::/a b\n", V2, two("a b/", 300, 200), 100),
    "v1": ("4:memory:/a/b\n0::/\n", MEMORY.format(top="/"), one("a/b/", 300, 290, 250), 260),
    "v1, no limit": ("4:memory:/a\n", MEMORY.format(top="/"), one("a/", None, 100), 9223372036754),
    "v1, a group around it is tighter": (
        "5:cpu,cpuacct:/c\n4:memory:/a/b\n",
        MEMORY.format(top="/") + CPU.format(top="/"),
        one("a/b/", 900, 100) | one("a/", 300, 200, 50),
        150,
    ),
    "v1, mounted within a group": (
        "4:memory:/docker/12ab\n",
        MEMORY.format(top="/docker/12ab"),
        one("", 300, 200),
        100,
    ),
    "v1, of a namespace": ("4:memory:/\n", MEMORY.format(top="/"), one("", 300, 200), 100),
    "hybrid": (
        "4:memory:/a\n1:name=systemd:/s\n0::/u\n",
        MEMORY.format(top="/") + HYBRID,
        one("a/", 300, 200) | {"unified/u/cgroup.procs": "1"},
        100,
    ),
    "hybrid, the memory is of version 2": ("5:cpu,cpuacct:/c\n0::/u\n", V2, two("u/", 300, 200), 100),
}


@pytest.mark.parametrize("name", MEMORY_CASES)
def test_memory_left(tree, name):
    group, mounts, files, expected = MEMORY_CASES[name]
    left = control_groups.memory_left(tree(group, mounts, files))
    assert (left if left is None else left // MB) == expected


def quota(folder, microseconds, period=100_000):
    return {
        f"cpu,cpuacct/{folder}cpu.cfs_quota_us": microseconds,
        f"cpu,cpuacct/{folder}cpu.cfs_period_us": period,
    }


CPU_CASES = {
    "no groups": ("", "", {}, None),
    "v2": ("0::/a\n", V2, {"a/cpu.max": "150000 100000"}, 1.5),
    "v2, another period": ("0::/a\n", V2, {"a/cpu.max": "25000 50000"}, 0.5),
    "v2, no limit": ("0::/a\n", V2, {"a/cpu.max": "max 100000"}, None),
    "v2, a group around it is tighter": (
        "0::/a/b/c\n",
        V2,
        {"a/b/c/cpu.max": "max 100000", "a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"},
        2,
    ),
    "v1": ("3:cpu,cpuacct:/a\n", CPU.format(top="/"), quota("a/", 100_000), 1),
    "v1, no limit": ("3:cpu,cpuacct:/a\n", CPU.format(top="/"), quota("a/", -1), None),
    "v1, a group around it is tighter": (
        "3:cpu,cpuacct:/a/b\n",
        CPU.format(top="/"),
        quota("a/b/", 300_000) | quota("a/", 50_000, 20_000) | quota("", -1),
        2.5,
    ),
    "hybrid": ("3:cpu,cpuacct:/a\n0::/u\n", CPU.format(top="/") + HYBRID, quota("a/", 300_000), 3),
    "only memory is limited": ("4:memory:/a\n", MEMORY.format(top="/"), one("a/", 300, 200), None),
}


@pytest.mark.parametrize("name", CPU_CASES)
def test_cores(tree, name):
    group, mounts, files, expected = CPU_CASES[name]
    assert control_groups.cores(tree(group, mounts, files)) == expected


def test_a_mount_with_a_space_in_its_name(tree):
    root = tree("0::/a\n", V2.replace("/sys/fs/cgroup", r"/sys/fs/cgroup/my\040groups"), two("my groups/a/", 300, 200))
    assert control_groups.memory_left(root) == 100 * MB


def test_this_machine_is_understood():
    assert (control_groups.memory_left() or 0) >= 0
    assert (control_groups.cores() or 1) > 0
