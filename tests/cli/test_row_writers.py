"""Rows that are kept: to the byte in their own format, by value in another."""

import pytest
from table_files import read_columns, write_columns

from smilearn.cli import _filter
from smilearn.cli._filter import row_writer, shape_of
from smilearn.exceptions import InvalidInputError
from smilearn.tables import _row_streams
from smilearn.tables._io import file_kind
from smilearn.tables._row_streams import RowStream

SUFFIXES = [".csv", ".jsonl", ".parquet"]
TEXTS = ["a", 'say "no"', "two\nlines", "lone\rreturn", "映画", ""]
KEYS = ["01", "1e5", "NA", "x,y", " 5", "6"]
KEEP = [True, False, True, True, False, True]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(_row_streams, "_MOST_ROWS", 2)
    monkeypatch.setattr(_filter, "_ROW_GROUP", 40)


def copy(source, out, keep):
    stream = RowStream(source)
    shape = shape_of(stream, {file_kind(out)})
    keep = list(keep)
    with row_writer(out, stream, shape) as add:
        for batch in stream:
            add(batch, keep[: len(batch)])
            del keep[: len(batch)]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("out", SUFFIXES)
def test_values_are_kept_in_any_format(tmp_path, suffix, out):
    source, out = tmp_path / f"rows{suffix}", tmp_path / f"kept{out}"
    write_columns({"text": TEXTS, "key, odd": KEYS}, source)
    copy(source, out, KEEP)
    expected = {"text": TEXTS, "key, odd": KEYS}
    assert read_columns(out) == {
        name: [v for v, kept in zip(values, KEEP, strict=True) if kept]
        for name, values in expected.items()
    }


def test_lines_are_copied_to_the_byte(tmp_path):
    lines = [b"\xef\xbb\xbfa , b\r\n", b"'1',\"2\"\r\n", b'"x\r\ny",""\r\n', b"5e0, 6"]
    (tmp_path / "rows.csv").write_bytes(b"".join(lines))
    copy(tmp_path / "rows.csv", tmp_path / "kept.csv", [False, True, True])
    assert (tmp_path / "kept.csv").read_bytes() == lines[0] + lines[2] + lines[3]
    lines = [b'{"a":1.0e5,  "a": 2}\n', b'{"b": "\\u00e9"}\r\n', b'{"a":1}']
    (tmp_path / "rows.jsonl").write_bytes(b"".join(lines))
    copy(tmp_path / "rows.jsonl", tmp_path / "kept.jsonl", [True, True, False])
    assert (tmp_path / "kept.jsonl").read_bytes() == lines[0] + lines[1]


def test_types_and_metadata_of_parquet_are_kept(tmp_path):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table(
        {
            "n": pyarrow.array([1, None, 3], pyarrow.int8()),
            "c": pyarrow.array(["x", "y", "x"]).dictionary_encode(),
            "t": pyarrow.array([1, 2, 3], pyarrow.timestamp("us", tz="UTC")),
        }
    ).replace_schema_metadata({"made": "by hand"})
    parquet.write_table(table, tmp_path / "rows.parquet")
    copy(tmp_path / "rows.parquet", tmp_path / "kept.parquet", [True, False, True])
    found = parquet.read_table(tmp_path / "kept.parquet")
    assert found.equals(table.take([0, 2]))
    assert found.schema.metadata[b"made"] == b"by hand"


def test_no_rows_kept_leave_columns(tmp_path):
    write_columns({"a": ["1", "2"]}, tmp_path / "rows.csv")
    copy(tmp_path / "rows.csv", tmp_path / "kept.csv", [False, False])
    assert (tmp_path / "kept.csv").read_text() == "a\n"
    copy(tmp_path / "rows.csv", tmp_path / "kept.parquet", [False, False])
    import pyarrow.parquet

    assert pyarrow.parquet.read_table(tmp_path / "kept.parquet").column_names == ["a"]


@pytest.mark.parametrize("out", [".csv", ".parquet"])
def test_columns_that_come_late_are_there_from_the_first_row(tmp_path, out):
    rows = '{"a": 1}\n{"a": 2}\n{"a": 3.5}\n{"a": 4, "b": "x"}\n'
    (tmp_path / "rows.jsonl").write_text(rows)
    copy(tmp_path / "rows.jsonl", tmp_path / f"kept{out}", [True, False, True, True])
    found = read_columns(tmp_path / f"kept{out}")
    csv = {"a": ["1", "3.5", "4"], "b": ["", "", "x"]}
    assert found == (
        csv if out == ".csv" else {"a": [1, 3.5, 4], "b": [None, None, "x"]}
    )


def test_what_a_format_cannot_hold_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n{"a": "x"}\n')
    with pytest.raises(InvalidInputError, match=r"cannot be written.*another format"):
        copy(tmp_path / "rows.jsonl", tmp_path / "kept.parquet", [True] * 3)
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n{"a": "\\ud800"}\n')
    with pytest.raises(InvalidInputError, match=r"kept\.csv: cannot be written"):
        copy(tmp_path / "rows.jsonl", tmp_path / "kept.csv", [True] * 3)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_an_error_half_way_leaves_what_was_there(tmp_path):
    (tmp_path / "rows.csv").write_text("a\n1\n2\n3\n4,5\n")
    (tmp_path / "kept.csv").write_text("before")
    with pytest.raises(InvalidInputError, match="line 5"):
        copy(tmp_path / "rows.csv", tmp_path / "kept.csv", [True] * 4)
    assert (tmp_path / "kept.csv").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 2
