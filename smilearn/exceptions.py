"""Errors and warnings of smilearn.

Each error is also the standard one it refines, so ``except ValueError`` works::

    SmilearnError
      +-- InvalidInputError (ValueError)
      |     +-- MissingTextError      a text is None or NaN
      |     +-- FileFormatError       a file cannot be read as what it claims to be
      |     +-- IntegrityError        a packaged file is not the one we know
      |     +-- AdapterError          an adapter does not fit or changes nothing
      +-- MissingDependencyError (ImportError)
      +-- DeviceMemoryError (MemoryError)
      +-- ModelUnavailableError (OSError)
      +-- CacheError (OSError)
      +-- ClusterError (RuntimeError)

    SmilearnWarning (UserWarning)
      +-- ReliabilityWarning          slices ran out before the ranking settled
      +-- EarlyPointWarning           training ended before the early point
      +-- TruncationWarning           texts were longer than the model reads
      +-- LowSupportWarning           a class is too small to be scored well
      +-- SimilarLabelsWarning        labels differ by case or blanks alone
      +-- UnknownTokensWarning        texts are mostly tokens that the model lacks
      +-- BackendWarning              a backend cannot run a model; torch does
      +-- CacheWarning                rows of a cache are damaged or cannot be kept
"""

__all__ = [
    "AdapterError",
    "BackendWarning",
    "CacheError",
    "CacheWarning",
    "ClusterError",
    "DeviceMemoryError",
    "EarlyPointWarning",
    "FileFormatError",
    "IntegrityError",
    "InvalidInputError",
    "LowSupportWarning",
    "MissingDependencyError",
    "MissingTextError",
    "ModelUnavailableError",
    "ReliabilityWarning",
    "SimilarLabelsWarning",
    "SmilearnError",
    "SmilearnWarning",
    "TruncationWarning",
    "UnknownTokensWarning",
]


class SmilearnError(Exception):
    """Base of every error that smilearn raises by its own name."""


class InvalidInputError(SmilearnError, ValueError):
    """A value is not what the call expects."""


class MissingTextError(InvalidInputError):
    """A text is missing where every row needs one."""


class FileFormatError(InvalidInputError):
    """A file cannot be read as what its name says it is."""


class IntegrityError(InvalidInputError):
    """A packaged file differs from the one that was published."""


class AdapterError(InvalidInputError):
    """An adapter does not fit its base model, or changes nothing in it."""


class MissingDependencyError(SmilearnError, ImportError):
    """An optional package is not installed."""


class DeviceMemoryError(SmilearnError, MemoryError):
    """A device has no memory for even the smallest piece of the work."""


class ModelUnavailableError(SmilearnError, OSError):
    """A model is neither on disk nor reachable."""


class CacheError(SmilearnError, OSError):
    """The folder of a cache cannot be used."""


class ClusterError(SmilearnError, RuntimeError):
    """A Dask worker or the scheduler was lost before the work was done."""


class SmilearnWarning(UserWarning):
    """Base of every warning that smilearn emits."""


class ReliabilityWarning(SmilearnWarning):
    """The slices ran out before the ranking of the samples settled."""


class EarlyPointWarning(SmilearnWarning):
    """Training ended before the early point was reached."""


class TruncationWarning(SmilearnWarning):
    """Texts were longer than the model reads; their ends were not seen."""


class UnknownTokensWarning(SmilearnWarning):
    """Texts are, for the most part, tokens that the model does not know."""


class LowSupportWarning(SmilearnWarning):
    """A class has too few samples for a score of its own."""


class SimilarLabelsWarning(SmilearnWarning):
    """Labels differ by case or blanks alone, and may be typos of one class."""


class BackendWarning(SmilearnWarning):
    """The backend asked for cannot run a model; torch runs it."""


class CacheWarning(SmilearnWarning):
    """Rows of a cache are damaged, or cannot be kept; they are computed."""
