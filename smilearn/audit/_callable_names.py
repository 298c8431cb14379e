"""Names of callables that tell different ones apart, in each process."""

import dis
import functools
import hashlib
import types

import joblib

from smilearn.exceptions import InvalidInputError
from smilearn.utils._validation import is_tensor

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))


def callable_name(told):
    """Name a callable by what it does and by the values that it holds."""
    try:
        text = repr(_Description().of(told))
    except Exception as error:  # whatever pickle comes upon
        raise InvalidInputError(
            "With checkpoint_folder, a callable statistic must be known again in "
            f"another process, with all that it holds and reads: {error}. Hand such "
            "values to a function of a module by functools.partial, as numbers, texts "
            "or arrays; or leave out checkpoint_folder."
        ) from error
    return f"{_home(told)} {hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _home(told):
    while isinstance(told, functools.partial):
        told = told.func
    named = told if hasattr(told, "__qualname__") else type(told)
    return f"{named.__module__}.{named.__qualname__}"


class _Description:
    """Nested tuples of texts, equal for what is equal."""

    def __init__(self):
        self.met = {}  # holds the objects, so that no address is used again

    def of(self, value):
        if type(value) in _PLAIN:
            return type(value).__name__, repr(value)
        if id(value) in self.met:
            return "again", self.met[id(value)][0]
        if type(value) in (types.FunctionType, list, dict):
            self.met[id(value)] = len(self.met), value
        if type(value) in _KINDS:
            return type(value).__name__, *_KINDS[type(value)](self, value)
        if is_tensor(value):
            value = value.detach().cpu().float().numpy()
        call = getattr(type(value), "__call__", None)  # noqa: B004
        parts = [call] if isinstance(call, types.FunctionType) else []
        return joblib.hash(value), *map(self.of, parts)

    def function(self, value):
        cells = [_content(cell) for cell in value.__closure__ or ()]
        held = [value.__code__, value.__defaults__, value.__kwdefaults__, *cells]
        read = {
            name: self.of_global(value, value.__globals__[name])
            for name in sorted(_globals_of(value.__code__))
            if name in value.__globals__
        }
        return _home(value), *map(self.of, held), *read.items()

    def of_global(self, function, value):
        foreign = getattr(value, "__globals__", None) is not function.__globals__
        if isinstance(value, types.FunctionType) and foreign:
            return "function", _home(value)
        return self.of(value)

    def code(self, value):
        numbers = (
            value.co_argcount,
            value.co_posonlyargcount,
            value.co_kwonlyargcount,
            value.co_flags,
        )
        names = value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars
        bytecode = value.co_code.hex(), value.co_exceptiontable.hex()
        return numbers, names, bytecode, *map(self.of, value.co_consts)

    def sequence(self, value):
        return map(self.of, value)

    def unordered(self, value):
        return sorted(repr(_Description().of(each)) for each in value)

    def mapping(self, value):
        ordered = sorted(
            value.items(), key=lambda pair: repr(_Description().of(pair[0]))
        )
        return [(self.of(key), self.of(held)) for key, held in ordered]

    def partial(self, value):
        return map(self.of, (value.func, value.args, value.keywords))

    def method(self, value):
        return map(self.of, (value.__func__, value.__self__))

    def module(self, value):
        return (value.__name__,)


_KINDS = {
    types.FunctionType: _Description.function,
    types.MethodType: _Description.method,
    types.CodeType: _Description.code,
    types.ModuleType: _Description.module,
    functools.partial: _Description.partial,
    list: _Description.sequence,
    tuple: _Description.sequence,
    set: _Description.unordered,
    frozenset: _Description.unordered,
    dict: _Description.mapping,
}


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:  # named, and not set yet
        return Ellipsis


def _globals_of(code):
    """Names of globals that a piece of code reads, and what is nested in it."""
    names = {
        step.argval
        for step in dis.get_instructions(code)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    nested = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return names.union(*map(_globals_of, nested))
