"""Fine-tuning to the early point, against transformers run by hand on its result."""

import pickle
import random
import shutil
import sys
import tempfile
import warnings

import numpy as np
import pytest
import torch
from finetuning_data import TEXTS, Y, make
from tiny_decoders import decoder
from transformers import AutoTokenizer, T5Config, T5Model

from smilearn.exceptions import (
    EarlyPointWarning,
    InvalidInputError,
    MissingDependencyError,
    ModelUnavailableError,
    TruncationWarning,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def embed(folder, **changed):
    """An embedder that reaches its early point, evaluated at each step."""
    return make(folder, **{"max_epochs": 12, "evaluations_per_epoch": 5, **changed})


def unfinished(folder, y=Y, **changed):
    """Fit one epoch, where the early point is out of reach; embedder, embeddings."""
    embedder = embed(folder, **{"loss_drop": 0.999, "max_epochs": 1, **changed})
    with pytest.warns(EarlyPointWarning):
        return embedder, embedder.fit_transform(TEXTS, y)


@pytest.fixture(scope="module")
def fitted(tiny_encoder, one_thread):
    embedder = embed(tiny_encoder)
    return embedder, embedder.fit_transform(TEXTS, Y)


@torch.inference_mode()
def by_hand(embedder, texts, max_length=64, pooling="mean"):
    """Embedding and logits of each text: alone, so that nothing is ever padded."""
    rows = []
    for text in texts:
        tokens = embedder.tokenizer_(
            text, truncation=True, max_length=max_length, return_tensors="pt"
        )
        states = embedder.backbone_(tokens["input_ids"]).last_hidden_state[0]
        rows.append(states.mean(0) if pooling == "mean" else states[-1])
    X = torch.stack(rows)
    return X.numpy(), embedder._network.head(X).numpy()


def test_embeddings_logits_and_losses(fitted):
    """Mean last states over real tokens, logits of them, cross-entropies of those."""
    embedder, X = fitted
    assert (X.shape, X.dtype, embedder.n_features_out_) == ((40, 16), np.float32, 16)
    expected, logits = by_hand(embedder, TEXTS)
    np.testing.assert_allclose(X, expected, atol=1e-5)
    np.testing.assert_allclose(embedder.transform(TEXTS), X, atol=1e-5)
    np.testing.assert_allclose(embedder.logits_, logits, atol=1e-5)
    logits = embedder.logits_.astype(float)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(Y)), Y]
    np.testing.assert_allclose(embedder.losses_, losses, atol=1e-6)
    last = embedder.history_[-1]
    assert last["median_loss"] == pytest.approx(np.median(losses), abs=1e-6)
    assert last["share_fitted"] == (logits.argmax(1) == Y).mean()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_embedding_of_a_decoder_is_the_last_real_token(kind):
    folder = decoder(kind, dropout=0.1)
    assert AutoTokenizer.from_pretrained(folder).padding_side == "left"
    embedder = make(folder, early_point=None)
    X = embedder.fit_transform(TEXTS, Y)
    expected, logits = by_hand(embedder, TEXTS, pooling="last")
    np.testing.assert_allclose(X, expected, atol=1e-5)
    np.testing.assert_allclose(embedder.logits_, logits, atol=1e-5)


@pytest.mark.parametrize(("loss_drop", "share"), [("auto", 0.5), (0.2, 0.8)])
def test_stops_at_the_first_evaluation_below_the_threshold(
    tiny_encoder, seed, loss_drop, share
):
    options = {"random_state": seed, "loss_drop": loss_drop}
    embedder = embed(tiny_encoder, **options).fit(TEXTS, Y)
    medians = [entry["median_loss"] for entry in embedder.history_]
    threshold = embedder.early_point_loss_
    assert threshold == pytest.approx(share * medians[0])
    assert len(medians) > 2
    assert min(medians[:-1]) > threshold >= medians[-1]
    assert embedder.early_point_reached_ is True


def test_evaluating_changes_nothing_in_training(tiny_encoder, seed):
    """Two evaluations an epoch of 5 steps, or five."""
    options = {"random_state": seed, "max_epochs": 2}
    seldom, X = unfinished(tiny_encoder, evaluations_per_epoch=2, **options)
    often, Z = unfinished(tiny_encoder, evaluations_per_epoch=5, **options)
    assert [entry["step"] for entry in seldom.history_] == [0, 3, 5, 8, 10]
    epochs = [entry["epoch"] for entry in seldom.history_]
    assert epochs == pytest.approx([0, 0.6, 1, 1.6, 2])
    assert [often.history_[step] for step in (0, 3, 5, 8, 10)] == seldom.history_
    np.testing.assert_array_equal(Z, X)


def test_without_a_seed_fits_differ_and_global_streams_are_left_alone(tiny_encoder):
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    one, other = (unfinished(tiny_encoder, random_state=None)[1] for _ in range(2))
    assert abs(one - other).max() > 1e-3
    with pytest.raises(ValueError, match="max_length"):
        make(tiny_encoder, max_length=999).fit(TEXTS, Y)
    assert random.getstate() == before[0]
    np.testing.assert_equal(np.random.get_state(), before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_texts_are_cut_at_max_length_and_counted(tiny_encoder):
    texts = [*TEXTS[:6], "bad " * 6, "good " * 7, "good " * 7, "bad " * 90]
    embedder = make(tiny_encoder, max_length=8, max_epochs=1, early_point=None)
    n_longer = 3 + sum(len(text.split()) > 6 for text in texts[:6])
    match = f"{n_longer} of 10 texts are longer than the 8 tokens"
    with pytest.warns(TruncationWarning, match=match):
        X = embedder.fit_transform(texts, [0, 1] * 5)
    assert embedder.n_truncated_ == n_longer
    np.testing.assert_allclose(X, by_hand(embedder, texts, 8)[0], atol=1e-5)
    with pytest.warns(TruncationWarning, match="1 of 2 texts"):
        again = embedder.transform(texts[6:8])
    np.testing.assert_allclose(again, X[6:8], atol=1e-5)
    assert embedder.n_truncated_ == n_longer


def test_a_model_that_cannot_serve_is_refused(tiny_encoder, tmp_path):
    match = rf"max_length=65 is more than the 64 tokens that '{tiny_encoder}' reads"
    with pytest.raises(InvalidInputError, match=match):
        make(tiny_encoder, max_length=65).fit(TEXTS, Y)
    with pytest.raises(ModelUnavailableError, match=r"No model 'nowhere'.* give a fol"):
        make("nowhere").fit(TEXTS, Y)
    with pytest.raises(InvalidInputError, match=r"2 classes or more; got \['a'\] only"):
        make(tiny_encoder).fit(TEXTS, ["a"] * len(TEXTS))
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    T5Model(T5Config(vocab_size=40, **sizes)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    with pytest.raises(InvalidInputError, match="neither an encoder such as BERT nor"):
        make(tmp_path).fit(TEXTS, Y)


def test_without_accelerate_the_extra_is_named(tiny_encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    match = r"FineTunedEmbedder.*'accelerate'.* pip install \"smilearn\[finetune\]\""
    with pytest.raises(MissingDependencyError, match=match):
        make(tiny_encoder).fit(TEXTS, Y)


def test_a_pickle_needs_no_folder_of_the_model(fitted, tiny_encoder, tmp_path):
    folder = shutil.copytree(tiny_encoder, tmp_path / "model")
    pickled = pickle.dumps(embed(folder).fit(TEXTS, Y))
    shutil.rmtree(folder)
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.transform(TEXTS), fitted[0].transform(TEXTS))
    assert again.history_ == fitted[0].history_


def test_leaves_no_trace(tiny_encoder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed(tiny_encoder, freeze_layers=1).fit(TEXTS, Y).transform(TEXTS)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
