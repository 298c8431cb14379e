"""Options out of bounds and outputs in the way are told as they were typed."""

import os
from pathlib import Path

import pytest

from smilearn.cli._terminal import check_number, check_output, one_of
from smilearn.exceptions import InvalidInputError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("bounds", "fine", "wrong", "told"),
    [
        ({"least": 0, "below": 1}, [0, 0.999], [-0.1, 1, 2, NAN], "from 0 to below 1"),
        ({"least": 1}, [1, 9], [0, -1, INF], "1 or more"),
        ({"above": 0}, [1e-9], [0, -1, NAN, INF], "a number above 0"),
        ({}, [-5, 0, 7.5], [NAN, INF, -INF], "a finite number"),
    ],
)
def test_numbers_have_bounds(bounds, fine, wrong, told):
    for value in [*fine, None]:
        check_number("--share", value, **bounds)
    for value in wrong:
        with pytest.raises(InvalidInputError, match=f"--share must be .*{told}; got "):
            check_number("--share", value, **bounds)


def test_options_exclude_each_other():
    one_of({"--a": None, "--b": False, "--c": 0.0})
    with pytest.raises(InvalidInputError, match="--a and --c exclude each other"):
        one_of({"--a": 0.0, "--b": None, "--c": 1})


def test_output_may_not_be_an_input_or_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = Path("data.csv")
    data.write_text("a\n1\n")
    os.link(data, "linked.csv")
    Path("pointed.csv").symlink_to(data)
    for name in ("./data.csv", "linked.csv", "pointed.csv"):
        with pytest.raises(InvalidInputError, match=r"is the same file as data.csv"):
            check_output(Path(name), None, data)
    with pytest.raises(InvalidInputError, match=r"is the same file as new.csv"):
        check_output(Path("./new.csv"), data, Path("new.csv"))
    Path("folder.csv").mkdir()
    with pytest.raises(InvalidInputError, match="is a folder"):
        check_output(Path("folder.csv"), data)
    check_output(Path("other.csv"), data)
    check_output(Path("new/folder/other.csv"), data)
    assert not Path("new").exists()


def test_a_place_that_cannot_be_written_to_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(
        InvalidInputError, match=r"cannot be written: .*file is not a fo"
    ):
        check_output(tmp_path / "file" / "new" / "out.csv")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(InvalidInputError, match="no permission to write to"):
        check_output(tmp_path / "out.csv")
