"""Options that exclude each other, and outputs in the way."""

import os
from pathlib import Path

import pytest

from smilearn.cli._options import check_output, one_of
from smilearn.exceptions import InvalidInputError


def test_options_exclude_each_other():
    one_of(a=None, b=False, c=0.0)
    with pytest.raises(InvalidInputError, match="--a-b and --c exclude each other"):
        one_of(a_b=0.0, b=None, c=1)


def test_output_may_not_be_an_input(folder):
    data = Path("data.csv")
    data.touch()
    os.link(data, "linked.csv")
    Path("pointed.csv").symlink_to(data)
    for name in ("./data.csv", "linked.csv", "pointed.csv"):
        with pytest.raises(InvalidInputError, match=r"is the same file as data.csv"):
            check_output(Path(name), None, data)
    with pytest.raises(InvalidInputError, match=r"is the same file as new.csv"):
        check_output(Path("./new.csv"), data, Path("new.csv"))
    check_output(Path("new/folder/other.csv"), data)
    assert not Path("new").exists()


def test_output_must_have_a_place(folder, monkeypatch):
    Path("file").touch()
    with pytest.raises(InvalidInputError, match=r"written: .*file is not a folder"):
        check_output(Path("file/new/out.csv"))
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(InvalidInputError, match="cannot be written"):
        check_output(Path("out.csv"))
