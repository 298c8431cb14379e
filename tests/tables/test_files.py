"""Tables to files and back, and what is said of files that are not tables."""

import csv
import os
import stat
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smilearn.exceptions import (
    FileFormatError,
    InvalidInputError,
    MissingDependencyError,
)
from smilearn.tables._io import (
    column_of,
    file_kind,
    read_columns,
    take_rows,
    write_columns,
)
from smilearn.utils._files import replacing

SUFFIXES = [".csv", ".jsonl", ".ndjson", ".parquet"]
TABLE = {
    "text": [
        'say "no", twice',
        "two\nlines",
        "two\r\nlines",
        "naïve 映画 🎬",
        "",
        " a ",
    ],
    "la,bel": ["01", "1e5", "NaN", "null", "true", "-0.0"],
    "": ["x"] * 6,
}


def write_text(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    write_columns(TABLE, path)
    read = read_columns(path)
    assert read == TABLE
    assert list(read) == list(TABLE)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_types_survive_where_the_format_has_them(tmp_path, suffix):
    table = {"n": [1, -2], "x": [0.1, 1e-300], "b": [True, False], "s": ["1", None]}
    write_columns(table, tmp_path / f"table{suffix}")
    read = read_columns(tmp_path / f"table{suffix}")
    assert read == table
    assert [type(v[0]) for v in read.values()] == [int, float, bool, str]


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_any_text_survives(tmp_path_factory, suffix, rows):
    a, b = (list(column) for column in zip(*rows, strict=True))
    path = tmp_path_factory.mktemp("any") / f"table{suffix}"
    write_columns({"a": a, "b": b}, path)
    assert read_columns(path) == {"a": a, "b": b}


@pytest.mark.parametrize("cell", ["", "01", "a\nb"])
def test_one_column_of_csv(tmp_path, cell):
    write_columns({"text": [cell, "z"]}, tmp_path / "table.csv")
    assert read_columns(tmp_path / "table.csv") == {"text": [cell, "z"]}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_cells_are_verbatim(tmp_path, newline):
    lines = ["id,text,label", '01,"a ""b"", c",1e5', "", "2,, x ", '3,"",NA', ""]
    path = write_text(tmp_path / "table.csv", newline.join(lines))
    assert read_columns(path) == {
        "id": ["01", "2", "3"],
        "text": ['a "b", c', "", ""],
        "label": ["1e5", " x ", "NA"],
    }


def test_csv_is_written_plainly(tmp_path):
    write_columns({"a": ["x", "y,z"], "b": [1, 0.5]}, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == b'a,b\nx,1\n"y,z",0.5\n'


@pytest.mark.parametrize(
    ("name", "text"), [("t.csv", "a\nx\n"), ("t.jsonl", '{"a": "x"}\n')]
)
def test_byte_order_mark_is_not_part_of_a_name(tmp_path, name, text):
    path = write_text(tmp_path / name, text, "utf-8-sig")
    assert read_columns(path) == {"a": ["x"]}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_very_long_cell(tmp_path, suffix):
    csv.field_size_limit(131_072)  # the limit of a fresh interpreter
    table = {"text": ["x" * 200_000, "y"], "label": ["a", "b"]}
    write_columns(table, tmp_path / f"table{suffix}")
    assert read_columns(tmp_path / f"table{suffix}") == table


def test_json_lines_may_skip_names_and_lines(tmp_path):
    path = write_text(tmp_path / "t.jsonl", '{"a": 1}\n\n{"b": [2], "a": null}\n  \n')
    assert read_columns(path) == {"a": [1, None], "b": [None, [2]]}


def test_parquet_of_pandas_is_read(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b"], "n": [1, 2]}, index=[5, 9])
    frame.to_parquet(tmp_path / "table.parquet", index=False)
    assert read_columns(tmp_path / "table.parquet") == {"text": ["a", "b"], "n": [1, 2]}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("a.CSV", "csv"),
        ("a.b.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.parquet", "parquet"),
    ],
)
def test_kind_of_a_file(name, kind):
    assert file_kind(name) == kind


@pytest.mark.parametrize("name", ["table.txt", "table", "csv", "table.csv.gz"])
@pytest.mark.parametrize(
    "call", [read_columns, lambda path: write_columns(TABLE, path)]
)
def test_unknown_suffix_is_refused(tmp_path, name, call):
    match = r"must end in \.csv, \.jsonl, \.ndjson, \.parquet; got"
    with pytest.raises(FileFormatError, match=match):
        call(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_file_and_folder(tmp_path, suffix):
    (tmp_path / f"folder{suffix}").mkdir()
    for name in (f"none{suffix}", f"folder{suffix}"):
        with pytest.raises(FileFormatError, match=f"{name}: no such file"):
            read_columns(tmp_path / name)


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
    "garbage": (
        "t.parquet",
        b"PAR1 is not all",
        "t.parquet: cannot be read as Parquet",
    ),
    "empty parquet": ("t.parquet", b"", "t.parquet: cannot be read as Parquet"),
}


@pytest.mark.parametrize(("name", "content", "match"), BROKEN.values(), ids=BROKEN)
def test_broken_file_says_what_is_wrong(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=match):
        read_columns(tmp_path / name)


def test_parquet_without_rows_is_refused(tmp_path):
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), tmp_path / "t.parquet")
    with pytest.raises(FileFormatError, match=r"t\.parquet: holds no rows"):
        read_columns(tmp_path / "t.parquet")


def test_parquet_without_pyarrow_names_the_package(tmp_path, monkeypatch):
    write_columns(TABLE, tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet")
    with pytest.raises(MissingDependencyError, match=r"Reading .*t\.parquet needs"):
        read_columns(tmp_path / "t.parquet")
    with pytest.raises(MissingDependencyError, match=r"Writing .* package 'pyarrow'"):
        write_columns(TABLE, tmp_path / "new.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ragged_table_is_not_written(tmp_path, suffix):
    with pytest.raises(ValueError, match=r"(shorter|longer|length)"):
        write_columns({"a": ["1", "2"], "b": ["1"]}, tmp_path / f"t{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_file_is_replaced_and_the_old_stays_until_then(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


# Windows has no mode bits to look at
@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_a_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_columns({"a": ["1"]}, tmp_path / "table.csv")
        after = os.umask(mask)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "table.csv").stat().st_mode) == 0o666 & ~mask
    assert after == mask  # asking for the mask does not change it


def test_parent_folders_are_made(tmp_path):
    path = tmp_path / "new" / "deeper" / "table.jsonl"
    write_columns({"a": [1]}, str(path))
    assert read_columns(str(path)) == {"a": [1]}


def test_rows_are_taken_in_order_asked_for():
    assert take_rows({"a": ["x", "y", "z"], "b": (1, 2, 3)}, [2, 0, 2]) == {
        "a": ["z", "x", "z"],
        "b": [3, 1, 3],
    }


def test_unknown_column_lists_those_there_are():
    assert column_of({"a": [1], "b": [2]}, "b", "t.csv") == [2]
    match = r"t\.csv: no column 'c'; columns are: a, b"
    with pytest.raises(InvalidInputError, match=match):
        column_of({"a": [1], "b": [2]}, "c", "t.csv")


def test_carriage_return_alone_survives_in_csv(tmp_path):
    table = {"text": ["a\rb", "c"], "label": ["x", "y"]}
    write_columns(table, tmp_path / "t.csv")
    assert read_columns(tmp_path / "t.csv") == table
