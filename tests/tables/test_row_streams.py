"""Rows come in batches, whole and in order, and broken files are told."""

import io
import json
import sys

import pytest
from table_files import read_columns, write_columns

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables import _row_streams
from smilearn.tables._row_streams import RowStream

ODD = ["", " a ", 'say "no", or', "two\nlines", "lone\rreturn", "\ufeffmark", "映画 🎬"]
SUFFIXES = [".csv", ".jsonl", ".parquet"]


@pytest.fixture(params=[1, 2, 4096], ids=lambda n: f"batches-of-{n}")
def most_rows(request, monkeypatch):
    monkeypatch.setattr(_row_streams, "_MOST_ROWS", request.param)
    return request.param


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_batches_together_are_the_file(tmp_path, suffix, most_rows):
    path = tmp_path / f"rows{suffix}"
    columns = {"text": ODD, "key": [f"0{i}" for i in range(len(ODD))]}
    write_columns(columns, path)
    batches = list(RowStream(path))
    assert max(map(len, batches)) == min(most_rows, len(ODD))
    together = {n: [v for b in batches for v in b.columns[n]] for n in columns}
    assert together == columns == read_columns(path)
    assert RowStream(path).gather(["key"]) == {"key": columns["key"]}


def test_raw_lines_together_are_the_bytes(tmp_path, most_rows):
    content = '\ufeffa,b\r\n"x\r\ny",1\r\n\'q\', 2\r\n"z","3"'
    path = tmp_path / "rows.csv"
    path.write_bytes(content.encode())
    stream = RowStream(path)
    batches = list(stream)
    raw = [line for batch in batches for line in batch.raw]
    assert {tuple(batch.columns) for batch in batches} == {("a", "b")}
    assert stream.header == "\ufeffa,b\r\n"
    assert stream.header + "".join(raw) == content
    assert raw[0] == '"x\r\ny",1\r\n'


def test_long_texts_make_short_batches(tmp_path):
    path = tmp_path / "rows.csv"
    write_columns({"text": ["x" * 1_500_000] * 4}, path)
    assert [len(batch) for batch in RowStream(path)] == [2, 2]
    write_columns({"text": ["x" * 1_500_000] * 4}, tmp_path / "rows.parquet")
    sizes = [len(batch) for batch in RowStream(tmp_path / "rows.parquet")]
    assert sum(sizes) == 4


def test_json_rows_may_lack_names(tmp_path, most_rows):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n{"b": 2, "a": null}\n')
    assert RowStream(path).gather(["a", "b"]) == {"a": [1, None], "b": [None, 2]}


def test_standard_input_is_read_and_left_open(monkeypatch):
    for kind, text in [("csv", "a\n1\n"), ("jsonl", '{"a": "1"}\n')]:
        buffer = io.BytesIO(text.encode())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(buffer))
        assert RowStream(kind=kind).gather(["a"]) == {"a": ["1"]}
        assert not buffer.closed


BROKEN = {
    "none.csv": (None, "none.csv: no such file"),
    "empty.csv": (b"", "holds no rows"),
    "header.csv": (b"a,b\n", "holds no rows"),
    "blank.jsonl": (b"\n\n", "holds no rows"),
    "ragged.csv": (b"a,b\n1,2\n1\n", "line 3: 1 fields where the header has 2"),
    "twice.csv": (b"a,a\n1,2\n", "two columns share a name"),
    "open.csv": (b'a,b\n1,"2\n', "line 2: not CSV"),
    "bad.jsonl": (b'{"a": 1}\n' * 6 + b'{"a": \n', "line 7: not JSON"),
    "list.jsonl": (b'{"a": 1}\n[1]\n', "line 2: not a JSON object"),
    "latin.csv": ("a\ncafé\n".encode("latin-1"), "not UTF-8 text"),
    "latin.jsonl": ('{"a": "é"}'.encode("latin-1"), "not UTF-8 text"),
    "not.parquet": (b"no", "cannot be read as Parquet"),
    "data.txt": (b"a\n1\n", r"must end in \.csv"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_told(tmp_path, name):
    content, match = BROKEN[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=match):
        RowStream(tmp_path / name).gather(["a"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_column_is_told_with_those_there_are(tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    write_columns({"a": ["1"], "b": ["2"]}, path)
    with pytest.raises(InvalidInputError, match="no column 'c'; columns are: a, b"):
        RowStream(path).gather(["a", "c"])


def test_a_folder_is_told(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileFormatError, match=r"folder\.csv: a folder"):
        RowStream(tmp_path / "folder.csv")


def test_values_of_json_keep_their_types(tmp_path):
    rows = [{"a": [1, {"b": None}], "n": 1.5}, {"a": True, "n": 10**20}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert RowStream(path).gather(["a", "n"]) == {
        name: [row[name] for row in rows] for name in ("a", "n")
    }
