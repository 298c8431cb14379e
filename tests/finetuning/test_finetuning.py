"""Fine-tuning to the early point, against transformers run by hand on its result."""

import json
import pickle
import random
import shutil
import sys
import tempfile
import warnings

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from transformers import AutoTokenizer, T5Config, T5Model

from smilearn import FineTunedEmbedder
from smilearn.exceptions import (
    EarlyPointWarning,
    InvalidInputError,
    MissingDependencyError,
    MissingTextError,
    ModelUnavailableError,
    TruncationWarning,
)

pytestmark = pytest.mark.usefixtures("one_thread")

MOST = 64  # tokens that the tiny encoder reads, two of them special
GOOD, BAD = ["good", "great", "bright", "warm"], ["bad", "awful", "dull", "cold"]


def reviews(n_texts=36):
    """Texts of 3 to 15 tokens in no order of length, and their labels."""
    rng = np.random.default_rng(7)
    y = np.arange(n_texts) % 2
    texts = []
    for label in y:
        words = rng.choice(["the", "film", "was", "a", "plot", ","], rng.integers(12))
        place = rng.integers(len(words) + 1)
        texts.append(" ".join(np.insert(words, place, rng.choice([BAD, GOOD][label]))))
    return texts, y


TEXTS, Y = reviews()


def make(folder, seed=0, **changed):
    """Nimble enough to learn in a few steps what the texts are about."""
    settings = {"learning_rate": 1e-2, "batch_size": 8, "max_epochs": 12}
    settings = {"evaluations_per_epoch": 5, **settings, **changed}
    return FineTunedEmbedder(folder, random_state=seed, **settings)


def unfinished(folder, y=Y, **changed):
    """Fit where the early point is out of reach; return embedder and embeddings."""
    embedder = make(folder, **{"loss_drop": 0.999, "max_epochs": 1, **changed})
    with pytest.warns(EarlyPointWarning):
        return embedder, embedder.fit_transform(TEXTS, y)


@pytest.fixture(scope="module")
def fitted(tiny_encoder):
    embedder = make(tiny_encoder)
    return embedder, embedder.fit_transform(TEXTS, Y)


@torch.inference_mode()
def by_hand(embedder, folder, texts, most=MOST):
    """Embedding and logits of each text: alone, so that nothing is ever padded."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder, head = embedder._network.backbone, embedder._network.head
    rows = []
    for text in texts:
        tokens = tokenizer(text, truncation=True, max_length=most, return_tensors="pt")
        rows.append(encoder(**tokens).last_hidden_state[0].mean(0))
    X = torch.stack(rows)
    return X.numpy(), head(X).numpy()


def test_embeddings_are_mean_last_states_over_real_tokens(fitted, tiny_encoder):
    embedder, X = fitted
    assert (X.shape, X.dtype, embedder.n_features_out_) == ((36, 16), np.float32, 16)
    expected, logits = by_hand(embedder, tiny_encoder, TEXTS)
    np.testing.assert_allclose(X, expected, atol=1e-5)
    np.testing.assert_allclose(embedder.logits_, logits, atol=1e-5)


def test_losses_are_cross_entropies_of_the_logits(fitted):
    embedder, _ = fitted
    logits = embedder.logits_.astype(float)
    own = logits[np.arange(len(Y)), Y]
    expected = np.log(np.exp(logits).sum(1)) - own
    np.testing.assert_allclose(embedder.losses_, expected, atol=1e-6)
    last = embedder.history_[-1]
    assert last["median_loss"] == pytest.approx(np.median(expected), abs=1e-6)
    assert last["share_fitted"] == (logits.argmax(1) == Y).mean()


def test_padding_is_always_on_the_right(fitted, tiny_encoder, tmp_path):
    left = shutil.copytree(tiny_encoder, tmp_path / "left")
    file = left / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "padding_side": "left"}))
    assert AutoTokenizer.from_pretrained(left).padding_side == "left"
    embedder = make(left)
    np.testing.assert_array_equal(embedder.fit_transform(TEXTS, Y), fitted[1])
    np.testing.assert_array_equal(embedder.transform(TEXTS), fitted[0].transform(TEXTS))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_history_starts_with_the_untrained_head(tiny_encoder, seed, n_classes):
    y = np.arange(len(TEXTS)) % n_classes
    embedder, _ = unfinished(tiny_encoder, y, seed=seed, learning_rate=1e-12)
    first, last = embedder.history_[0], embedder.history_[-1]
    assert (first["step"], first["epoch"]) == (0, 0.0)
    assert first["median_loss"] == pytest.approx(np.log(n_classes), abs=0.5)
    # nothing was learnt, so that what holds at the end held before the first step
    assert first["median_loss"] == pytest.approx(np.median(embedder.losses_), abs=1e-5)
    fitted = (embedder.logits_.argmax(1) == y).mean()
    assert first["share_fitted"] == last["share_fitted"] == fitted


@pytest.mark.parametrize(("loss_drop", "share"), [("auto", 0.5), (0.2, 0.8)])
def test_stops_at_the_first_evaluation_below_the_threshold(
    tiny_encoder, seed, loss_drop, share
):
    embedder = make(tiny_encoder, seed, loss_drop=loss_drop).fit(TEXTS, Y)
    medians = [entry["median_loss"] for entry in embedder.history_]
    threshold = embedder.early_point_loss_
    assert threshold == pytest.approx(share * medians[0])
    assert len(medians) > 2
    assert min(medians[:-1]) > threshold >= medians[-1]
    assert embedder.early_point_reached_ is True


def test_evaluates_as_often_as_asked(tiny_encoder):
    """36 texts in batches of 8 are 5 steps an epoch."""
    embedder, _ = unfinished(
        tiny_encoder, max_epochs=2, evaluations_per_epoch=2, learning_rate=1e-5
    )
    assert [entry["step"] for entry in embedder.history_] == [0, 3, 5, 8, 10]
    epochs = [entry["epoch"] for entry in embedder.history_]
    assert epochs == pytest.approx([0, 0.6, 1, 1.6, 2])


def test_evaluating_changes_nothing_in_training(tiny_encoder, seed):
    seldom, X = unfinished(tiny_encoder, seed=seed, evaluations_per_epoch=1)
    often, Z = unfinished(tiny_encoder, seed=seed, evaluations_per_epoch=5)
    assert [entry["step"] for entry in seldom.history_] == [0, 5]
    assert [often.history_[0], often.history_[5]] == seldom.history_
    np.testing.assert_array_equal(often.losses_, seldom.losses_)
    np.testing.assert_array_equal(Z, X)


def test_warns_when_the_early_point_is_not_reached(tiny_encoder):
    with pytest.warns(EarlyPointWarning) as caught:
        embedder = make(tiny_encoder, max_epochs=1, learning_rate=1e-5).fit(TEXTS, Y)
    loss, threshold = embedder.history_[-1]["median_loss"], embedder.early_point_loss_
    assert loss > threshold
    expected = f"median loss {loss:.3f}, early point at {threshold:.3f}. Raise max_ep"
    assert expected in str(caught[0].message)
    assert (len(caught), embedder.early_point_reached_) == (1, False)


def test_same_seed_same_embeddings(fitted, tiny_encoder):
    with torch.random.fork_rng():
        torch.manual_seed(12345)  # no matter what others drew before
        X = make(tiny_encoder).fit_transform(TEXTS, Y)
    np.testing.assert_array_equal(X, fitted[1])
    X = [make(tiny_encoder, seed).fit_transform(TEXTS, Y) for seed in (1, None, None)]
    for one, other in [(X[0], fitted[1]), (X[0], X[1]), (X[1], X[2])]:
        assert abs(one - other).max() > 1e-3


@pytest.mark.parametrize("stream", [np.random.default_rng, np.random.RandomState])
def test_random_state_may_be_a_stream(tiny_encoder, stream):
    one, again = (unfinished(tiny_encoder, seed=stream(3))[1] for _ in range(2))
    np.testing.assert_array_equal(one, again)


def test_global_random_streams_are_left_alone(tiny_encoder):
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    unfinished(tiny_encoder)[0].transform(TEXTS)
    with pytest.raises(ValueError, match="max_length"):
        make(tiny_encoder, max_length=999).fit(TEXTS, Y)
    assert random.getstate() == before[0]
    np.testing.assert_equal(np.random.get_state(), before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_transform_gives_the_rows_of_the_training(fitted, seed):
    embedder, X = fitted
    np.testing.assert_allclose(embedder.transform(TEXTS), X, atol=1e-5)
    order = np.random.default_rng(seed).permutation(len(TEXTS))
    shuffled = embedder.transform(pl.Series(np.array(TEXTS)[order]))
    np.testing.assert_allclose(shuffled, X[order], atol=1e-5)
    assert embedder.transform([]).shape == (0, 16)
    assert abs(X - X[::-1]).max() > 0.1


def test_names_of_classes_do_not_matter(fitted, tiny_encoder):
    embedder = make(tiny_encoder)
    X = embedder.fit_transform(TEXTS, np.array(["bad", "good"])[Y])
    assert embedder.classes_.tolist() == ["bad", "good"]
    np.testing.assert_array_equal(X, fitted[1])
    np.testing.assert_array_equal(embedder.logits_, fitted[0].logits_)
    assert fitted[0].classes_.tolist() == [0, 1]


def test_wrong_texts_and_labels_are_refused(tiny_encoder, fitted):
    embedder = make(tiny_encoder)
    with pytest.raises(InvalidInputError, match=r"2 classes or more; got \['a'\] only"):
        embedder.fit(TEXTS, ["a"] * len(TEXTS))
    with pytest.raises(MissingTextError, match=r"1 of 36 texts .* row 35"):
        embedder.fit([*TEXTS[:-1], None], Y)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[35, 36"):
        embedder.fit(TEXTS[1:], Y)
    with pytest.raises(MissingTextError, match="in row 1 "):
        fitted[0].transform(["good", None])


def test_texts_are_cut_at_max_length_and_counted(tiny_encoder):
    texts = [*TEXTS[:6], "bad " * 6, "good " * 7, "good " * 7, "bad " * 90]
    embedder = make(tiny_encoder, max_length=8, max_epochs=1, loss_drop=0.999)
    n_longer = 3 + sum(len(text.split()) > 6 for text in texts[:6])
    match = f"{n_longer} of 10 texts are longer than the 8 tokens"
    with pytest.warns(EarlyPointWarning), pytest.warns(TruncationWarning, match=match):
        X = embedder.fit_transform(texts, [0, 1] * 5)
    assert embedder.n_truncated_ == n_longer
    expected, _ = by_hand(embedder, tiny_encoder, texts, 8)
    np.testing.assert_allclose(X, expected, atol=1e-5)
    with pytest.warns(TruncationWarning, match="1 of 2 texts"):
        again = embedder.transform(texts[6:8])
    np.testing.assert_allclose(again, expected[6:8], atol=1e-5)
    assert embedder.n_truncated_ == n_longer
    assert unfinished(tiny_encoder)[0].n_truncated_ == 0


def test_a_model_that_cannot_serve_is_refused(tiny_encoder, tmp_path):
    match = rf"max_length=65 is more than the 64 tokens that '{tiny_encoder}' reads"
    with pytest.raises(InvalidInputError, match=match):
        make(tiny_encoder, max_length=65).fit(TEXTS, Y)
    with pytest.raises(ModelUnavailableError, match=r"No model 'nowhere'.* give a fol"):
        make("nowhere").fit(TEXTS, Y)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    T5Model(T5Config(vocab_size=40, **sizes)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    with pytest.raises(InvalidInputError, match="neither an encoder such as BERT nor"):
        make(tmp_path).fit(TEXTS, Y)


def test_without_accelerate_the_extra_is_named(tiny_encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    match = r"'accelerate'.* pip install \"smilearn\[finetune\]\""
    with pytest.raises(MissingDependencyError, match=match):
        make(tiny_encoder).fit(TEXTS, Y)


def test_pickle_keeps_the_weights(fitted, tiny_encoder, tmp_path):
    folder = shutil.copytree(tiny_encoder, tmp_path / "model")
    pickled = pickle.dumps(make(folder).fit(TEXTS, Y))
    shutil.rmtree(folder)
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.transform(TEXTS), fitted[0].transform(TEXTS))
    assert again.history_ == fitted[0].history_


def test_clone_keeps_parameters_and_forgets_the_fit(fitted, tiny_encoder):
    copy = clone(fitted[0])
    assert copy.get_params() == make(tiny_encoder).get_params()
    with pytest.raises(NotFittedError):
        copy.transform(TEXTS)


def test_leaves_no_trace(tiny_encoder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(tiny_encoder).fit(TEXTS, Y).transform(TEXTS)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["loss_drop", "max_epochs", "learning_rate"])
def test_wrong_parameter_is_named(tiny_encoder, name):
    with pytest.raises(ValueError, match=f"The {name!r} parameter of FineTunedEmbed"):
        make(tiny_encoder, **{name: 0}).fit(TEXTS, Y)
