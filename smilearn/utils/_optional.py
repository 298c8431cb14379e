"""Optional dependencies, asked for where they are used."""

import importlib

from smilearn.exceptions import MissingDependencyError


def require(module, *, extra, caller):
    """Import an optional module, or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{caller} needs the package {error.name!r}, which is not installed. "
            f'Install it with: pip install "smilearn[{extra}]"'
        ) from error
