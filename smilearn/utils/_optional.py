"""Optional dependencies, asked for where they are used."""

import importlib

from smilearn.exceptions import MissingDependencyError


def require(module, *, extra, caller):
    """Import an optional module, or say which extra brings it.

    Parameters
    ----------
    module : str
        Name of the module, as in an import statement.

    extra : str
        The extra of smilearn that installs it.

    caller : str
        What the user called; named in the error.

    Returns
    -------
    module : module
        The imported module.

    Raises
    ------
    MissingDependencyError
        If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{caller} needs the package {error.name!r}, which is not installed. "
            f'Install it with: pip install "smilearn[{extra}]"'
        ) from error
