"""Frames to files and back, and what is said of files that are not tables."""

import csv
import os
import stat

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._io import file_kind, read_frame, write_frame
from smilearn.utils._files import replacing

SUFFIXES = [".csv", ".jsonl", ".ndjson", ".parquet"]
FRAME = pl.DataFrame(
    {
        "text": [
            'say "no", twice',
            "two\nlines",
            "two\r\nlines",
            "naïve 映画 🎬",
            "lone\rreturn",
            "",
            " a ",
            "a\0b",
        ],
        "la,bel": ["01", "1e5", "NaN", "null", "true", "-0.0", "#", ""],
        "": ["x"] * 8,
    }
)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read(tmp_path, suffix):
    path = tmp_path / "new" / f"table [1]*{suffix}"  # is no pattern
    write_frame(FRAME, str(path))
    assert read_frame(str(path)).equals(FRAME)


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_any_text_survives(tmp_path_factory, suffix, rows):
    path = tmp_path_factory.mktemp("any") / f"table{suffix}"
    frame = pl.DataFrame(rows, ["a", "b"], orient="row")
    write_frame(frame, path)
    assert read_frame(path).equals(frame)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_types_survive_where_the_format_has_them(tmp_path, suffix):
    columns = {"n": [1, -2], "x": [0.1, 1e-9], "b": [True, False], "s": ["1", None]}
    write_frame(pl.DataFrame(columns), tmp_path / f"table{suffix}")
    read = read_frame(tmp_path / f"table{suffix}")
    assert read.to_dict(as_series=False) == columns


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_numbers_have_six_significant_digits(tmp_path, suffix):
    columns = {"x": [1 / 3, -1234567.8, 2e-10 / 3, 0.0], "n": [1234567, 2, 3, 4]}
    write_frame(pl.DataFrame(columns), tmp_path / f"table{suffix}")
    cells = (tmp_path / f"table{suffix}").read_text()
    for written in ("0.333333", "-1234570.0", "6.66667e-11", "0.0", "1234567"):
        assert written in cells
    assert "3333333" not in cells


def test_parquet_keeps_all_digits_and_says_its_version(tmp_path):
    frame = pl.DataFrame({"x": [1 / 3]})
    write_frame(frame, tmp_path / "t.parquet")
    assert pd.read_parquet(tmp_path / "t.parquet")["x"].tolist() == [1 / 3]
    assert pl.read_parquet_metadata(tmp_path / "t.parquet")["smilearn"] == "1"
    frame.write_parquet(tmp_path / "t.parquet", metadata={"smilearn": "2"})
    with pytest.raises(FileFormatError, match=r"version 2; .* Upgrade smilearn"):
        read_frame(tmp_path / "t.parquet")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_infinite_numbers_are_kept(tmp_path, suffix):
    frame = pl.DataFrame({"x": [np.inf, 0.5], "y": [0.5, 0.25]})
    write_frame(frame, tmp_path / f"table{suffix}")
    read = read_frame(tmp_path / f"table{suffix}", {"x": pl.Float64, "y": pl.Float64})
    assert read.cast(pl.Float64).equals(frame)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_cells_are_verbatim(tmp_path, newline, mark):
    lines = ["id,text,label", '01,"a ""b"", c",1e5', "", "2,, x ", '3,"",NA', "4,b,"]
    path = tmp_path / "table.csv"
    path.write_bytes((mark + newline.join(lines)).encode())
    assert read_frame(path).to_dict(as_series=False) == {
        "id": ["01", "2", "3", "4"],
        "text": ['a "b", c', "", "", "b"],
        "label": ["1e5", " x ", "NA", ""],
    }


@pytest.mark.parametrize("label", ["a", ""])
def test_very_long_cell_of_csv(tmp_path, label):
    csv.field_size_limit(131_072)  # the limit of a fresh interpreter
    (tmp_path / "t.csv").write_text(f"text,label\n{'x' * 200_000},{label}\n")
    assert read_frame(tmp_path / "t.csv").row(0) == ("x" * 200_000, label)


def test_json_lines_may_skip_names_and_lines(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"b": [2], "a": null}\n  \n')
    columns = read_frame(path).to_dict(as_series=False)
    assert columns == {"a": [1, None], "b": [None, [2]]}


@pytest.mark.parametrize("name", ["table.txt", "table", "csv", "table.csv.gz"])
@pytest.mark.parametrize("call", [read_frame, lambda path: write_frame(FRAME, path)])
def test_unknown_suffix_is_refused(tmp_path, name, call):
    match = r"must end in \.csv, \.jsonl, \.ndjson, \.parquet; got"
    with pytest.raises(FileFormatError, match=match):
        call(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    assert file_kind("a.b.CSV") == "csv"


BROKEN = {
    "empty csv": ("t.csv", b"", "t.csv: holds no rows"),
    "header only": ("t.csv", b"text,label\n", "t.csv: holds no rows"),
    "header, blank lines": ("t.csv", b"text,label\n\n\n", "t.csv: holds no rows"),
    "mark only": ("t.csv", b"\xef\xbb\xbf", "t.csv: holds no rows"),
    "empty jsonl": ("t.jsonl", b"", "t.jsonl: holds no rows"),
    "blank jsonl": ("t.jsonl", b"\n \n", "t.jsonl: holds no rows"),
    "objects without names": ("t.jsonl", b"{}\n{}\n", "t.jsonl: holds no rows"),
    "short row": (
        "t.csv",
        b'a,b\n1,"2\n2"\n3\n',
        "t.csv, line 4: 1 fields where the header has 2",
    ),
    "long row": ("t.csv", b"a,b\n1,2,3\n", "line 2: 3 fields where the header has 2"),
    "same name twice": ("t.csv", b"a,b,a\n1,2,3\n", "two columns share a name"),
    "open quote": ("t.csv", b'a,b\n1,"2\n', "t.csv, line 2: not CSV"),
    "text after quote": ("t.csv", b'a,b\n1,2\n1,"2"3\n', "t.csv, line 3: not CSV"),
    "bad json": ("t.jsonl", b'{"a": 1}\n\n{"a": }\n', "t.jsonl, line 3: not JSON"),
    "json list": ("t.jsonl", b'{"a": 1}\n[1]\n', "line 2: not a JSON object"),
    "json text": ("t.jsonl", b'"a"\n', "line 1: not a JSON object"),
    "latin-1 csv": ("t.csv", "text\ncafé\n".encode("latin-1"), "not UTF-8 text"),
    "latin-1 jsonl": ("t.jsonl", '{"a":"é"}\n'.encode("latin-1"), "not UTF-8 text"),
    "garbage": ("t.parquet", b"PAR1 is not all", "cannot be read as Parquet"),
    "empty parquet": ("t.parquet", b"", "t.parquet: cannot be read as Parquet"),
}


@pytest.mark.parametrize(("name", "content", "match"), BROKEN.values(), ids=BROKEN)
def test_broken_file_says_what_is_wrong(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=match):
        read_frame(tmp_path / name)


def test_what_a_format_cannot_hold_is_not_written(tmp_path):
    with pytest.raises(InvalidInputError, match=r"t\.csv: cannot be written"):
        write_frame(pl.DataFrame({"a": [[1, 2]]}), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("old", [None, "precious"])
def test_failed_write_leaves_no_trace(tmp_path, old):
    path = tmp_path / "table.csv"
    if old:
        path.write_text(old)
    with pytest.raises(RuntimeError, match="half-way"), replacing(path) as temporary:
        temporary.write_text("half")
        assert temporary.parent == tmp_path  # or the rename is no longer atomic
        raise RuntimeError("half-way")
    assert [each.name for each in tmp_path.iterdir()] == (["table.csv"] if old else [])
    assert not old or path.read_text() == old


# Windows has no mode bits to look at
@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_a_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_frame(FRAME, tmp_path / "table.csv")
    finally:
        assert os.umask(before) == mask  # asking for the mask does not change it
    assert stat.S_IMODE((tmp_path / "table.csv").stat().st_mode) == 0o666 & ~mask
