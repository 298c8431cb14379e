"""Names of what a run depends on, the same in each process for equal things only."""

import contextlib
import functools
import hashlib
import inspect
import os
import re
import types
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from smilearn.exceptions import InvalidInputError
from smilearn.utils._files import digest
from smilearn.utils._validation import as_numpy, is_tensor

NO_EFFECT = ("random_state", "n_jobs", "verbose")  # parameters that change no result
_LONGEST = 500  # characters of a name; longer ones are hashed


def name_of(value):
    """Text that is the same in each process for equal values only, and short."""
    text = _described(value)
    return text if len(text) <= _LONGEST else digest([text])


def _described(value):
    if isinstance(value, np.generic):
        value = value.item()
    if hasattr(value, "get_params") and not isinstance(value, type):
        params = value.get_params(deep=False)
        params = {key: params[key] for key in params if key not in NO_EFFECT}
        return f"{_qualified_name(type(value))}{_described(params)}"
    if isinstance(value, functools.partial):
        return f"partial{_described((value.func, value.args, value.keywords))}"
    if callable(value) and hasattr(value, "__qualname__"):
        owner = getattr(value, "__self__", None)
        if owner is None or isinstance(owner, types.ModuleType):
            return _qualified_name(value)
        return f"{_described(owner)}.{value.__name__}"
    if isinstance(value, dict):
        items = sorted((_described(k), _described(v)) for k, v in value.items())
        return f"{{{', '.join(map(': '.join, items))}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_described, value))}]"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(_described, value)))}}}"
    if sp.issparse(value):
        rows = value.tocsr()
        return digest(np.array(rows.shape), rows.indptr, rows.indices, rows.data)
    names = getattr(value, "column_names", getattr(value, "columns", None))
    if names is not None and hasattr(value, "__getitem__"):
        return _described([(str(name), np.asarray(value[name])) for name in names])
    if is_tensor(value) or hasattr(value, "__array__"):
        array = np.asarray(as_numpy(value))
        if array.dtype.kind in "OSU":
            return _described(array.tolist())
        return digest(array)
    text = repr(value)
    if not isinstance(value, (str, bytes)) and re.search(" at 0x[0-9a-f]+", text):
        raise _unknown(text)
    return text


def _qualified_name(value):
    """Where a class or function is defined; of a function also its source."""
    name = f"{getattr(value, '__module__', None)}.{value.__qualname__}"
    if "<" in name:  # <lambda>, or <locals> of a function
        raise _unknown(name)
    if inspect.isfunction(value):
        with contextlib.suppress(OSError):  # there is none in a console
            name += f", {digest([inspect.getsource(value)])}"
    return name


def _unknown(name):
    return InvalidInputError(
        "With a folder of checkpoints, all that a run depends on must have a name "
        f"that is the same in another process; got {name}. Define functions and "
        "classes at the top level of a module, give functions their settings by "
        "functools.partial, or leave out the folder."
    )


def params_named(estimator, name):
    """Parameters of one name, of an estimator and of those inside it."""
    params = getattr(estimator, "get_params", dict)()
    keys = sorted(k for k in params if k == name or k.endswith(f"__{name}"))
    return {key: params[key] for key in keys}


def pretrained_files(estimator, folder):
    """Hash of the local files of each pretrained model, less a run kept among them."""
    hashes = {}
    for name, value in params_named(estimator, "model").items():
        if not isinstance(value, (str, os.PathLike)) or not _exists(value):
            continue
        path, own = Path(value), folder and Path(folder).resolve()
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        contents = []
        for file in files:
            if file.is_file() and own not in file.resolve().parents:
                with file.open("rb") as opened:
                    content = hashlib.file_digest(opened, "sha256").hexdigest()
                contents.append([os.fsencode(file.relative_to(path)).hex(), content])
        hashes[name] = digest(contents)
    return hashes


def _exists(path):
    try:
        return path != "" and Path(path).exists()
    except (OSError, ValueError):  # a text that can be no path
        return False


def check_no_folder(estimator, instead):
    """Refuse an estimator that keeps checkpoints: its clones would share a folder."""
    for name, folder in params_named(estimator, "checkpoint_folder").items():
        if folder is not None:
            raise InvalidInputError(
                "Models of one estimator cannot share a folder of checkpoints: set "
                f"{name}=None in the estimator (it is {str(folder)!r}), and give "
                f"{instead}."
            )
