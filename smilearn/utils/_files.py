"""Files that appear whole or not at all."""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from smilearn.exceptions import CacheWarning, FileFormatError, InvalidInputError
from smilearn.utils._warnings import warn

_SUFFIXES = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_PACKED = {".gz": "gunzip -k", ".bz2": "bunzip2 -k", ".xz": "unxz -k", ".zip": "unzip"}
_PACKED[".zst"] = "unzstd"
_LONGEST = 255  # bytes of a name


def file_kind(path):
    """Format of a table by the suffix of its file."""
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        unpack = _PACKED.get(suffix)
        raise FileFormatError(
            f"{path}: files must end in {', '.join(_SUFFIXES)}; got {suffix!r}."
            + (f" Unpack it first: {unpack} {path}" if unpack else "")
        )
    return _SUFFIXES[suffix]


def check_writable(path):
    """Refuse to write over what is protected, or no ordinary file."""
    path = Path(path)
    for part in path.parts:
        if len(os.fsencode(part)) > _LONGEST:
            raise InvalidInputError(
                f"{path} cannot be written: names have up to {_LONGEST} bytes, and one "
                f"has {len(os.fsencode(part))}; name another file."
            )
    if not path.exists():
        return
    if not path.is_file():
        raise InvalidInputError(
            f"{path} cannot be written: it is no ordinary file; name another file."
        )
    # the mode as well, as root may write over everything
    if not (path.stat().st_mode & 0o222 and os.access(path, os.W_OK)):
        raise InvalidInputError(
            f"{path} cannot be written: it is read-only; allow it with chmod u+w, or "
            "name another file."
        )


@contextmanager
def replacing(path):
    """Give a temporary name beside a file, and rename it over the file on success."""
    check_writable(path)
    path = Path(os.path.realpath(path))  # a link stays, and what it points to is new
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = os.umask(0)  # to set it is the only way to ask for it
    os.umask(mask)
    mode = 0o666 & ~mask  # of a new file; mkstemp gives 0600
    if path.exists():
        mode = stat.S_IMODE(path.stat().st_mode)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:16]}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        if error.filename is None:  # some libraries name no file of a full disk
            reason = error.strerror or str(error)
            raise OSError(error.errno or 0, reason, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def save_arrays(path, **arrays):
    """Write a file of arrays (npz), to the disk before it gets its name."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())


def load_arrays(path, names):
    """Read arrays of such a file; an error where it is none that was written here."""
    with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        if any(each.compress_type for each in file.zip.infolist()):  # of any size
            raise ValueError("its arrays are compressed")
        return {name: file[name] for name in names}


_RUN = "run.json"
_UNFINISHED = re.compile(r"\.run\.json\.[a-z0-9_]+")  # of a process killed in `claim`
_CHECKPOINT = re.compile(r"checkpoint-([0-9]+)")
_DONE = "smilearn.json"  # written last: a checkpoint without it is not whole


class RunFolder:
    """Checkpoints of one run, which a run with the same facts may go on from."""

    def __init__(self, path):
        self.path = Path(path)

    def seed(self):
        """Seed of the run that the folder holds, or None."""
        facts = self._facts()
        return None if facts is None else facts["seed"]

    def claim(self, facts):
        """Take the folder for a run, or say why it cannot be had."""
        facts = json.loads(json.dumps(facts))
        held = self._facts()
        if held is None:
            if self.path.is_dir() and any(map(_is_other, self.path.iterdir())):
                raise InvalidInputError(
                    f"The folder {str(self.path)!r} holds other files and no run of "
                    "smilearn. Give an empty or a new folder."
                )
            with replacing(self.path / _RUN) as temporary:
                _write(temporary, facts)
            return
        names = sorted({*facts, *held})
        other = [name for name in names if facts.get(name) != held.get(name)]
        if other:
            raise InvalidInputError(
                f"The folder {str(self.path)!r} holds a run with other "
                f"{', '.join(other)}. Give another folder, or delete this one."
            )

    def finish_checkpoint(self, step, progress):
        """Note that the checkpoint of a step is whole, and the history so far."""
        folder = self.path / f"checkpoint-{step}"
        facts = {"progress": progress, "files": _sums(folder)}
        with replacing(folder / _DONE) as temporary:
            _write(temporary, facts)

    def latest(self):
        """Folder and progress of the last whole checkpoint, or None, None."""
        done = [path.parent for path in self.path.glob(f"*/{_DONE}") if path.is_file()]
        names = {folder: _CHECKPOINT.fullmatch(folder.name) for folder in done}
        steps = {folder: int(name[1]) for folder, name in names.items() if name}
        for folder in sorted(steps, key=steps.get, reverse=True):
            progress, damaged = _checked(folder)
            if damaged is None:
                return folder, progress
            warn(
                f"{damaged} is damaged or missing. The training goes on from the "
                "checkpoint before it, or from its start if there is none.",
                CacheWarning,
            )
            shutil.rmtree(folder)  # the Trainer would count it among the newest
        return None, None

    def _facts(self):
        file = self.path / _RUN
        if not file.is_file():
            return None
        try:
            facts = _read(file)
            if type(facts.get("seed")) is not int:
                raise ValueError("no seed of a run in it")
            return facts
        except ValueError as error:
            raise InvalidInputError(
                f"{file} cannot be read ({error}). Delete the folder, or give another."
            ) from error


def _is_other(file):
    return not (_UNFINISHED.fullmatch(file.name) and file.is_file())


def _checked(folder):
    """What a finished checkpoint notes, and the first of its files that is damaged."""
    try:
        facts = _read(folder / _DONE)
        progress, files = facts["progress"], facts["files"]
    except (ValueError, KeyError):
        return None, folder / _DONE
    found = _sums(folder)
    damaged = (folder / name for name in files if found.get(name) != files[name])
    return progress, next(damaged, None)


def _sums(folder):
    """Checksum of each file of a checkpoint, by name."""
    sums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _DONE:
            with path.open("rb") as file:
                name = path.relative_to(folder).as_posix()
                sums[name] = hashlib.file_digest(file, "blake2b").hexdigest()
    return sums


def _write(path, facts):
    """Write facts down with their checksum."""
    text = json.dumps(facts | {"sum": _sum(facts)}, indent=1)
    path.write_text(text, encoding="utf-8")


def _read(path):
    """Facts that were written down; ValueError where they are others by now."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    if type(facts) is not dict:
        raise ValueError("no facts of a run in it")
    if facts.pop("sum", None) != _sum(facts):
        raise ValueError("its checksum is another one")
    return facts


def _sum(facts):
    return hashlib.blake2b(json.dumps(facts).encode()).hexdigest()


def digest(*values):
    """Short name of arrays and texts, the same for equal ones only."""
    state = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            state.update(str((value.dtype, value.shape)).encode())
            state.update(np.ascontiguousarray(value).tobytes())
        else:
            listed = value.tolist() if isinstance(value, np.ndarray) else list(value)
            state.update(json.dumps(listed, default=str).encode())
    return state.hexdigest()[:16]
