"""Files that do not belong together, and outputs that would destroy an input."""

import numpy as np
import pytest

from smilearn._cli_input import check_output, load_embeddings, matching_table
from smilearn._files import read_columns, write_columns
from smilearn.exceptions import FileFormatError, InvalidInputError

DATA = {"text": ["a", "b", "c"], "label": ["x", "y", "x"]}
RISK = {"id": ["2", "0", "1"], "psmi": ["0.3", "-1", "0.2"]}


def risk_of(data):
    return RISK | {name: [data[name][i] for i in (2, 0, 1)] for name in data}


def test_rows_come_in_the_order_of_the_data():
    table = matching_table(risk_of(DATA), "risk.csv", DATA, "data.csv")
    assert table["psmi"].tolist() == [-1, 0.2, 0.3]


@pytest.mark.parametrize("name", ["text", "label"])
def test_data_that_changed_is_refused(name):
    changed = DATA | {name: [*DATA[name][:1], "other", *DATA[name][2:]]}
    message = rf"no column of data.csv holds its {name} column; .* row 1 "
    with pytest.raises(InvalidInputError, match=message):
        matching_table(risk_of(DATA), "risk.csv", changed, "data.csv")


def test_reordered_data_is_refused():
    backwards = {name: values[::-1] for name, values in DATA.items()}
    with pytest.raises(InvalidInputError, match="Score this very file first"):
        matching_table(risk_of(DATA), "risk.csv", backwards, "data.csv")


def test_output_may_not_be_an_input_or_a_folder(tmp_path):
    data = tmp_path / "data.csv"
    write_columns(DATA, data)
    with pytest.raises(InvalidInputError, match="is an input too"):
        check_output(tmp_path / "." / "data.csv", data)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InvalidInputError, match="is a folder"):
        check_output(tmp_path / "folder.csv", data)
    check_output(tmp_path / "other.csv", data)
    assert read_columns(data) == DATA


def test_embeddings_must_be_one_matrix(tmp_path):
    np.savez(tmp_path / "X.npz", X=np.eye(3))
    (tmp_path / "empty.npy").touch()
    with pytest.raises(InvalidInputError, match="expected 3 rows"):
        load_embeddings(tmp_path / "X.npz", 3)
    with pytest.raises(FileFormatError, match="not a NumPy array file"):
        load_embeddings(tmp_path / "empty.npy", 3)
