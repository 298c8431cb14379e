"""Callables that differ have names that differ, and the same ones in each process."""

import functools
import operator
import os
import subprocess
import sys
import threading
import types

import numpy as np
import pytest

from smilearn.audit._callable_names import callable_name
from smilearn.exceptions import InvalidInputError


class Column:
    def __init__(self, k):
        self.k = k

    def __call__(self, model, X, y):
        return model.predict_proba(X)[:, self.k]

    def of(self, model, X, y):
        return self(model, X, y)


def scaled(model, X, y, scale=1.0, *, shift=0.0):
    return scale * model.predict_proba(X)[:, 1] + shift


def capturing(value):
    return lambda model, X, y: value


def counting(model, X, y):
    return counting if len(y) else capturing


def made(source, **names):
    """Function `f` of a module of its own."""
    module = types.ModuleType("made")
    vars(module).update(names)
    exec(compile(source, "made.py", "exec"), vars(module))
    return module.f


PAIRS = {
    "code": (lambda m, X, y: m.a(X) + 1, lambda m, X, y: m.a(X) - 1),
    "constants": (lambda m, X, y: m.a(X)[:, 0], lambda m, X, y: m.a(X)[:, 1]),
    "attributes": (lambda m, X, y: m.a(X), lambda m, X, y: m.b(X)),
    "defaults": (lambda m, X, y, k=1: k, lambda m, X, y, k=2: k),
    "keyword defaults": (lambda m, X, y, *, k=1: k, lambda m, X, y, *, k=2: k),
    "closures": (capturing(1.0), capturing(2.0)),
    "types": (capturing(1), capturing(True)),
    "arrays": (capturing(np.zeros(9)), capturing(np.eye(3).ravel())),
    "long arrays": (capturing(np.arange(9999)), capturing(np.arange(9999)[::-1])),
    "tables": (capturing({"a": [1, {2}]}), capturing({"a": [1, {3}]})),
    "functions in closures": (capturing(capturing(1)), capturing(capturing(2))),
    "nested": (lambda m, X, y: lambda: 1, lambda m, X, y: lambda: 2),
    "partials": (
        functools.partial(scaled, scale=1.0),
        functools.partial(scaled, scale=-5.0),
    ),
    "functions in partials": (
        functools.partial(lambda m, X, y, k: k + 1, k=1),
        functools.partial(lambda m, X, y, k: k + 2, k=1),
    ),
    "objects": (Column(0), Column(1)),
    "methods": (Column(0).of, Column(1).of),
    "builtins": (operator.itemgetter(0), operator.itemgetter(1)),
    "names": (scaled, counting),
    "global data": (made("f = lambda: k", k=1), made("f = lambda: k", k=2)),
    "helpers": (
        made("def g(): return 1\ndef f(): return g()"),
        made("def g(): return 2\ndef f(): return g()"),
    ),
    "handlers": (
        made("def f():\n try: return g()\n except KeyError: return 1"),
        made("def f():\n try: return g()\n except ValueError: return 1"),
    ),
}


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
def test_what_differs_has_another_name(one, other):
    assert callable_name(one) == callable_name(one)
    assert callable_name(one) != callable_name(other)


def test_what_is_made_again_has_the_same_name():
    assert callable_name(capturing([1, "a"])) == callable_name(capturing([1, "a"]))
    assert callable_name(Column(1)) == callable_name(Column(1))
    assert callable_name(functools.partial(scaled, scale=2.0)) == callable_name(
        functools.partial(scaled, scale=2.0)
    )
    source = "def f(x):\n return x in {'a', 'b'}"
    assert callable_name(made(source)) == callable_name(made("\n\n" + source))


def test_a_name_says_where_it_is_from():
    home, _, digits = callable_name(functools.partial(scaled, scale=2.0)).partition(" ")
    assert home == f"{__name__}.scaled"
    assert len(digits) == 32
    assert callable_name(Column(0)).startswith(f"{__name__}.Column ")


def test_another_line_in_the_code_of_a_call_counts():
    class Other(Column):
        def __call__(self, model, X, y):
            return 2

    name = callable_name(Column(0))
    call = Column.__call__
    try:
        Column.__call__ = Other.__call__
        assert callable_name(Column(0)) != name
    finally:
        Column.__call__ = call


@pytest.mark.parametrize(
    "told",
    [
        capturing(threading.Lock()),
        functools.partial(scaled, scale=threading.Lock()),
        Column(lambda: 1),
        made("f = lambda: lock", lock=threading.Lock()),
    ],
    ids=["closure", "partial", "object", "global"],
)
def test_what_cannot_be_named(told):
    with pytest.raises(InvalidInputError, match=r"known again.*functools.partial"):
        callable_name(told)


def pair_names():
    unordered = made("f = lambda x: x in {'a', 'b', 'c', 'd', 'e'}", k={"x", "y", "z"})
    return [callable_name(f) for pair in [*PAIRS.values(), [unordered]] for f in pair]


def test_names_are_the_same_in_another_process():
    """Whatever the seed of hashes of text, and whoever compiled the code."""
    paths = os.pathsep.join(sys.path)
    code = f"import {__name__} as here; print(here.pair_names())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(pair_names())
