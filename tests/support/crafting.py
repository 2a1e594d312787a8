"""Crafted checkpoints: any metadata, members and zip structure, with correct hashes."""

import hashlib
import io
import json
import struct
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rnncli.config import yaml_file
from rnncli.runs import checkpoint, checkpoint_file
from support.small_run import settings, train

LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"
# Offset and size of each field of an entry, in the local header and in the central directory.
FIELDS = {
    "needs": ((4, "H"), (6, "H")),
    "flags": ((6, "H"), (8, "H")),
    "method": ((8, "H"), (10, "H")),
    "crc": ((14, "I"), (16, "I")),
    "packed": ((18, "I"), (20, "I")),
    "size": ((22, "I"), (24, "I")),
    "name_length": ((26, "H"), (28, "H")),
    "extra_length": ((28, "H"), (30, "H")),
    "comment_length": (None, (32, "H")),
    "disk": (None, (34, "H")),
    "offset": (None, (42, "I")),
}


@dataclass(frozen=True)
class Good:
    """The parts of a valid checkpoint of a run that stopped in the middle of an epoch."""

    path: Path
    raw: bytes
    meta: dict  # without hashes and format version
    members: dict  # without meta

    def with_meta(self, **changes):
        return replace(self, meta=self.meta | changes)

    def with_members(self, **changes):
        return replace(self, members=self.members | {name.replace("__", "."): value for name, value in changes.items()})


def good(folder, **changes):
    """A small LSTM with Adam, carried state, a validation text and `<unk>`; its config is `folder/config.yaml`."""
    fixed = {"data__mode": "stream", "data__valid": 0.3, "vocabulary__unknown": True, "run__dir": str(folder / "run")}
    config = settings(folder, **(fixed | {"training__epochs": 3} | changes))
    yaml_file.write(config, folder / "config.yaml")
    train(config, folder / "run", stop_at=6)
    (path,) = sorted((folder / "run" / "checkpoints").glob("step-00000006.npz"))
    return parts(path)


def parts(path):
    with np.load(path) as archive:
        members = {name: archive[name] for name in archive.files if name != "meta"}
        meta = json.loads(archive["meta"].tobytes())
    for name in ("format_version", "sha256", "meta_sha256"):
        del meta[name]
    return Good(path, path.read_bytes(), meta, members)


def contents(path):
    """All values of a checkpoint, for comparison; raises RunError as the readers do."""
    found = checkpoint.read(path)
    arrays = {"parameters": found.parameters.vector, **found.moments, **found.state}
    return (
        checkpoint_file.verify(path),
        {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()},
        (found.config, found.vocabulary.words, found.vocabulary.counts.tolist(), found.random_seed, found.progress),
        (found.data, found.machine),
    )


def sha256(array):
    array = np.asarray(array)
    return hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode() + array.tobytes()).hexdigest()


def as_json(content, allow_nan=True):
    options = {"ensure_ascii": False, "sort_keys": True, "separators": (",", ":"), "allow_nan": allow_nan}
    return json.dumps(content, **options).encode("utf-8", "surrogatepass")


def npy(array):
    """Bytes that `np.save` writes; an array of objects is pickled."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), (1, 0))
    return stream.getvalue()


def npy_of(header, data, version=(1, 0)):
    """A `.npy` with this text as its header, padded as NumPy does."""
    length = "<H" if version == (1, 0) else "<I"
    before = 8 + struct.calcsize(length)
    header = header.encode("latin1") if isinstance(header, str) else header
    header += b" " * (-(before + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack(length, len(header)) + header + data


def meta_bytes(meta, members, **over):
    """Metadata JSON for these members, with hashes; `over` overrides keys, and None removes one."""
    hashes = {name: sha256(array) for name, array in members.items() if not isinstance(array, bytes)}
    content = meta | {"format_version": checkpoint_file.FORMAT_VERSION, "sha256": hashes} | over
    content = {key: value for key, value in content.items() if value is not None or key in meta}
    if "meta_sha256" not in over:
        content["meta_sha256"] = hashlib.sha256(as_json(content)).hexdigest()
    return as_json(content)


def write(path, members, packed=(), method=zipfile.ZIP_STORED):
    """Write a zip in the layout of a checkpoint; members are pairs of a name and an array or the bytes of a `.npy`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in members:
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = method if name in packed else zipfile.ZIP_STORED
            with archive.open(entry, "w", force_zip64=True) as member:
                member.write(array if isinstance(array, bytes) else npy(array))


def craft(path, given, raw_meta=None, **over):
    """Write a checkpoint of these parts, with correct hashes and a correct zip even if the parts are invalid."""
    content = meta_bytes(given.meta, given.members, **over) if raw_meta is None else raw_meta
    write(path, [*given.members.items(), ("meta", np.frombuffer(content, np.uint8))])


def entries(raw):
    """Entries of a zip as (name, offset of the local header, offset of the central header)."""
    found, at = [], struct.unpack_from("<I", raw, raw.rindex(b"PK\x05\x06") + 16)[0]
    while raw[at : at + 4] == CENTRAL:
        name, extra, comment = struct.unpack_from("<HHH", raw, at + 28)
        (local,) = struct.unpack_from("<I", raw, at + 42)
        found.append((raw[at + 46 : at + 46 + name].decode(), local, at))
        at += 46 + name + extra + comment
    return found


def patched(raw, name, where="both", **values):
    """Change fields of one entry of a zip, in its local header, in the central directory, or in both."""
    changed = bytearray(raw)
    (local, central), *_ = [(low, high) for each, low, high in entries(raw) if each == f"{name}.npy"]
    for field, value in values.items():
        for place, start, spot in zip(("local", "central"), (local, central), FIELDS[field], strict=True):
            if spot and where in (place, "both"):
                struct.pack_into(f"<{spot[1]}", changed, start + spot[0], value)
    return bytes(changed)
