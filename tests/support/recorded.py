"""Record the system calls of a command on the files of one folder, and the disk states that a power cut may leave.

strace logs each system call; a `Disk` applies them to names and bytes in memory. It tracks what is durable: the content
of a file at its last fsync, and the names in a folder at the folder's last fsync.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

CALLS = (
    "open,openat,creat,close,dup,dup2,dup3,write,pwrite64,writev,pwritev,lseek,ftruncate,truncate,fallocate,fsync,"
    "fdatasync,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat"
)
SECTOR = 512
LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)")
STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


@cache
def no_strace():
    """Reason why strace cannot be used here, or None."""
    if shutil.which("strace") is None:
        return "needs strace"
    tried = subprocess.run([*traced(os.devnull, "write"), "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else f"strace cannot trace here: {tried.stderr.decode().strip()}"


def traced(log, calls, inject=None):
    """Command prefix that traces these calls into the file `log`."""
    quick = [] if inject and "signal=" in inject else ["--seccomp-bpf"]  # with it, strace 6.1 sends no signal
    injected = ["-e", f"inject={inject}"] if inject else []
    return ["strace", "-f", *quick, "-qq", "-o", str(log), "-e", f"trace={calls}", *injected]


def recording(log):
    """Command prefix that traces every call `operations` reads, with the data written."""
    return [*traced(log, CALLS), "-xx", "-s", "100000000"]


@dataclass(frozen=True)
class Operation:
    """One system call on a path in the folder. `nth` is its index among all calls of that name in the process."""

    call: str
    nth: int
    kind: str
    name: str = ""  # path relative to the folder
    target: str = ""  # the new name
    descriptor: int = -1
    data: bytes = b""
    number: int = 0  # a length or an offset
    flags: frozenset[str] = frozenset()

    def __str__(self):
        return f"{self.call} {self.nth} ({self.kind} {self.name}{' to ' + self.target if self.target else ''})"


def operations(log, root):
    """Operations of the process traced in `log`, in the folder `root`, in order."""
    counts, names, found, process = {}, {}, [], None
    for line in Path(log).read_text().splitlines():
        if (match := LINE.match(line)) is None:
            assert "<unfinished" not in line or not line.startswith(f"{process} "), line
            continue
        process = process or match[1]
        if match[1] != process:
            continue
        call, arguments, result = match[2], match[3], int(match[4])
        counts[call] = counts.get(call, 0) + 1
        if result >= 0 and (operation := _operation(call, counts[call], arguments, result, root, names)):
            found.append(operation)
    return found


def _operation(call, nth, arguments, result, root, names):
    """Parse one line of the trace; `names` are the open files of the folder, by descriptor."""
    strings = [bytes.fromhex(text.replace("\\x", "")) for text, cut in STRING.findall(arguments) if not cut]
    rest = STRING.sub("", arguments)
    first = int(match[0]) if (match := re.match(r"\d+", arguments)) else -1
    if call in ("open", "openat", "creat"):
        assert call == "openat", f"{call} is not understood"
        if (name := _inside(strings[0], root)) is None:
            return None
        names[result] = name
        return Operation(call, nth, "open", name, descriptor=result, flags=frozenset(re.findall(r"O_\w+", rest)))
    if call in ("rename", "renameat", "renameat2"):
        name, target = (_inside(each, root) for each in strings)
        assert (name is None) == (target is None), arguments
        return None if name is None else Operation(call, nth, "rename", name, target)
    if call in ("unlink", "unlinkat", "mkdir", "mkdirat"):
        name = _inside(strings[0], root)
        return None if name is None else Operation(call, nth, call.removesuffix("at"), name)
    if first not in names:
        assert strings == [] or call in ("write", "pwrite64", "writev") or _inside(strings[0], root) is None, arguments
        return None
    about = {"name": names[first], "descriptor": first}
    if call == "close":
        del names[first]
        return Operation(call, nth, "close", **about)
    if call in ("fsync", "fdatasync"):
        return Operation(call, nth, "fsync", **about)
    if call == "write":
        return Operation(call, nth, "write", data=strings[0][:result], **about)
    if call == "lseek":
        return Operation(call, nth, "seek", number=result, **about)
    if call == "ftruncate":
        return Operation(call, nth, "truncate", number=int(rest.split(",")[1]), **about)
    raise AssertionError(f"{call} is not understood")


def _inside(path, root):
    path = os.path.normpath(os.path.join(root, os.fsdecode(path)))
    inside = os.path.relpath(path, root)
    return None if inside.startswith("..") else inside


@dataclass
class File:
    """Content that processes see, durable content, and the changes since."""

    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    changes: list = field(default_factory=list)  # (offset, bytes), or a new length

    def change(self, change):
        self.changes.append(change)
        _apply(self.content, change)

    def sync(self):
        self.durable, self.changes = bytes(self.content), []

    def after_a_cut(self, draw):
        """Content left after a power cut, chosen by `draw`."""
        if not self.changes or draw.data == "lost":
            return self.durable
        if draw.data == "kept":
            return bytes(self.content)
        if draw.data == "zeros":  # the length was updated, but the data was not written
            return self.durable[: len(self.content)].ljust(len(self.content), b"\0")
        if draw.data == "writes":
            left = bytearray(self.durable)
            for change in self.changes:
                if draw.random.random() < 0.5:
                    _apply(left, change)
            return bytes(left)
        return self._in_sectors(draw.random)

    def _in_sectors(self, random):
        """Each sector is the old one or the new one; zeros beyond the end."""
        size = random.randint(*sorted((len(self.durable), len(self.content))))
        before, after = self.durable.ljust(size, b"\0"), bytes(self.content).ljust(size, b"\0")
        return b"".join(random.choice((before, after))[at : at + SECTOR] for at in range(0, size, SECTOR))[:size]


def _apply(content, change):
    if isinstance(change, int):
        del content[change:]
        content.extend(bytes(change - len(content)))
    else:
        offset, data = change
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data


class Folder:
    """Names that processes see, durable names, and the changes since."""

    def __init__(self):
        self.names, self.durable, self.changes = {}, {}, []

    def change(self, change):
        """`change` is {name: file or folder, or None if the name was removed}."""
        self.changes.append(change)
        _rename(self.names, change)

    def sync(self):
        self.durable, self.changes = dict(self.names), []

    def after_a_cut(self, draw):
        """Names left after a power cut, chosen by `draw`."""
        if draw.names == "lost":
            return self.durable
        if draw.names == "kept":
            return self.names
        left = dict(self.durable)
        chosen = [change for change in self.changes if draw.random.random() < 0.5]
        if draw.names == "disordered":
            draw.random.shuffle(chosen)
        for change in chosen:
            _rename(left, change)
        return left


def _rename(names, change):
    for name, what in change.items():
        if what is None:
            names.pop(name, None)
        else:
            names[name] = what


@dataclass
class Draw:
    """Effect of a power cut on names and data that are not durable."""

    names: str  # lost, kept, some, disordered
    data: str  # lost, kept, zeros, writes, sectors
    random: object


CUTS = [(names, data) for names in ("lost", "kept") for data in ("lost", "kept", "zeros")]
RANDOM_CUTS = [(names, data) for names in ("some", "disordered", "kept") for data in ("writes", "sectors")]


class Disk:
    """A folder, empty and durable at first, to which operations are applied in order.

    `obeys(operation, is_folder)` returns whether the disk carries out an fsync; one test uses a disk that ignores some.
    """

    def __init__(self, obeys=lambda operation, is_folder: True):
        self.root, self._open, self._obeys = Folder(), {}, obeys

    def apply(self, operation):
        o = operation
        if o.kind == "open":
            self._open[o.descriptor] = [self._opened(o), 0, "O_APPEND" in o.flags]
        elif o.kind == "rename":
            folder, name = self._place(o.name)
            target_folder, target = self._place(o.target)
            assert folder is target_folder, f"{o}: between folders"
            folder.change({target: folder.names[name], name: None})
        elif o.kind == "unlink":
            folder, name = self._place(o.name)
            folder.change({name: None})
        elif o.kind == "mkdir":
            folder, name = self._place(o.name)
            folder.change({name: Folder()})
        else:
            self._apply_to_open(o)

    def _apply_to_open(self, o):
        what, offset, append = opened = self._open[o.descriptor]
        if o.kind == "close":
            del self._open[o.descriptor]
        elif o.kind == "seek":
            opened[1] = o.number
        elif o.kind == "write":
            offset = len(what.content) if append else offset
            what.change((offset, o.data))
            opened[1] = offset + len(o.data)
        elif o.kind == "truncate":
            what.change(o.number)
        elif self._obeys(o, isinstance(what, Folder)):
            what.sync()

    def _opened(self, o):
        if o.name == ".":
            return self.root
        folder, name = self._place(o.name)
        if name not in folder.names:
            assert "O_CREAT" in o.flags, f"{o}: no such file"
            folder.change({name: File()})
        what = folder.names[name]
        if "O_TRUNC" in o.flags and what.content:
            what.change(0)
        return what

    def _place(self, name):
        path, folder = PurePosixPath(name), self.root
        for part in path.parts[:-1]:
            folder = folder.names[part]
        return folder, path.name

    def found(self, name):
        """The file or folder of that name that processes see, or None."""
        folder = self.root
        for part in PurePosixPath(name).parts:
            if not isinstance(folder, Folder) or part not in folder.names:
                return None
            folder = folder.names[part]
        return folder

    def after_a_cut(self, draw):
        """{name: content} of the files left after a power cut; None for a folder."""
        left = {}
        _cut(self.root, "", draw, left)
        return left


def _cut(folder, at, draw, left):
    for name, what in sorted(folder.after_a_cut(draw).items()):
        if isinstance(what, Folder):
            left[at + name] = None
            _cut(what, f"{at}{name}/", draw, left)
        else:
            left[at + name] = what.after_a_cut(draw)


def build(state, folder):
    """Create the files of a state in an empty folder."""
    for name, content in state.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)


def checkpoints_ever(operations, run):
    """{path in the run: every content} of checkpoints and guards under their final names."""
    disk, ever = Disk(), {}
    for operation in operations:
        disk.apply(operation)
        if operation.kind in ("rename", "close"):
            for folder in ("checkpoints", "guard"):
                for name, content in checkpoints_on(disk, f"{run}/{folder}").items():
                    ever.setdefault(f"{folder}/{name}", set()).add(content)
    return ever


def checkpoints_on(disk, folder):
    """{file name: content} of the checkpoints that processes see in a folder."""
    found = disk.found(folder)
    return {name: bytes(file.content) for name, file in _checkpoints(found.names if found else {})}


def durable_on(disk, folder):
    """File names of the durable checkpoints in a folder."""
    found = disk.found(folder)
    return [name for name, _ in _checkpoints(found.durable if found else {})]


def _checkpoints(names):
    return [(name, file) for name, file in names.items() if name.startswith("step-")]
