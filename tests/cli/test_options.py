"""Options that exclude each other, and outputs in the way."""

import os
import stat
from pathlib import Path

import pytest

from smilearn import RiskTable
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


POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX files")


@POSIX
def test_only_ordinary_files_are_written_over(folder):
    table = RiskTable([0.5, 1], ["a", "b"])
    os.mkfifo("pipe.csv")
    Path("folder.csv").mkdir()
    Path("old.csv").write_text("before")
    Path("old.csv").chmod(0o400)
    Path("link.csv").symlink_to("old.csv")
    for name, message in [
        ("pipe.csv", "no ordinary file"),
        ("folder.csv", "no ordinary file"),
        ("old.csv", "read-only"),
        ("link.csv", "read-only"),
        ("n" * 252 + ".csv", "names have up to 255 bytes, and one has 256"),
        ("new/" + "映" * 84 + ".csv", "and one has 256"),
    ]:
        with pytest.raises(InvalidInputError, match=f"cannot be written.*{message}"):
            check_output(Path(name))  # before the work
        with pytest.raises(InvalidInputError, match=f"cannot be written.*{message}"):
            table.to_csv(name)
    assert Path("old.csv").read_text() == "before"
    assert not Path("new").exists()
    table.to_csv("n" * 251 + ".csv")
    assert stat.S_ISFIFO(Path("pipe.csv").stat().st_mode)


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_rewritten_file_keeps_its_mode_and_its_link(folder, mode):
    table = RiskTable([0.5, 1], ["a", "b"])
    Path("there").mkdir()
    Path("there/old.csv").touch()
    Path("there/old.csv").chmod(mode)
    Path("link.csv").symlink_to("there/old.csv")
    Path("new.csv").symlink_to("there/new.csv")  # which is not there yet
    for name in ("link.csv", "new.csv"):
        table.to_csv(name)
        assert Path(name).is_symlink()
        assert len(RiskTable.read(name)) == 2
    assert stat.S_IMODE(Path("there/old.csv").stat().st_mode) == mode
    assert sorted(each.name for each in Path("there").iterdir()) == [
        "new.csv",
        "old.csv",
    ]
