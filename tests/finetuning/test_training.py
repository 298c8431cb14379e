"""The training engine: rules, cadence, weights, accumulation, precision."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from finetuning_data import TEXTS, Y, data, make
from transformers import AutoModel, AutoTokenizer

from smilearn import FineTunedClassifier
from smilearn.exceptions import EarlyPointWarning
from smilearn.finetuning import _training
from smilearn.finetuning._training import loss_weights

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def without_dropout(tiny_encoder, tmp_path_factory):
    """The tiny encoder, so that training is the same whatever the batches are."""
    folder = tmp_path_factory.mktemp("without-dropout")
    model = AutoModel.from_pretrained(tiny_encoder)
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(("stop_epoch", "step"), [(0, 0), (0.5, 3), (1, 5), (1.7, 9)])
def test_epochs_stops_where_asked(tiny_encoder, stop_epoch, step):
    """40 texts in batches of 8 are 5 steps an epoch."""
    embedder = make(tiny_encoder, early_point="epochs", stop_epoch=stop_epoch)
    embedder.fit(TEXTS, Y)
    assert embedder.history_[-1]["step"] == step
    assert embedder.early_point_reached_
    assert np.isnan(embedder.early_point_loss_)
    assert (embedder.evaluation_share_ == 0) == (step == 0)
    before, after = AutoModel.from_pretrained(tiny_encoder), embedder.backbone_
    name = "encoder.layer.0.output.dense.weight"
    same = torch.equal(before.get_parameter(name), after.get_parameter(name))
    assert same == (step == 0)


@pytest.fixture(scope="module")
def noise():
    """Labels that have nothing to do with the texts: all there is to learn by heart."""
    texts, _ = data(60, seed=1)
    return texts, np.random.default_rng(2).integers(2, size=60)


def test_gap_holds_texts_out_and_stops_below_their_loss(tiny_encoder, noise, seed):
    texts, y = noise
    settings = {"validation_share": 0.2, "max_epochs": 60, "evaluations_per_epoch": 2}
    embedder = make(tiny_encoder, early_point="gap", random_state=seed, **settings)
    X = embedder.fit_transform(texts, y)
    held_out = embedder.held_out_
    assert X.shape == (60, 16)
    share = [held_out[y == k].mean() for k in (0, 1)]
    assert held_out.sum() == 12
    assert share == pytest.approx([0.2, 0.2], abs=0.03)
    last = embedder.history_[-1]
    losses = embedder.losses_
    assert last["mean_loss"] == pytest.approx(losses[~held_out].mean(), abs=1e-5)
    assert last["validation_loss"] == pytest.approx(losses[held_out].mean(), abs=1e-5)
    ratio = [h["mean_loss"] / h["validation_loss"] for h in embedder.history_[1:]]
    assert ratio[-1] < 0.8 <= min(ratio[:-1])
    assert embedder.early_point_reached_


def test_held_out_texts_are_not_trained_on(tiny_encoder, noise, monkeypatch):
    texts, y = noise
    trained, collate = set(), _training.TextSamples.collate

    def noted(samples, features):
        trained.update(feature["row"] for feature in features)
        return collate(samples, features)

    monkeypatch.setattr(_training.TextSamples, "collate", noted)
    with pytest.warns(
        EarlyPointWarning, match=r"mean loss .* below .* \(0\.8 of held-out\)"
    ):
        embedder = make(tiny_encoder, early_point="gap", max_epochs=1).fit(texts, y)
    assert trained == set(np.flatnonzero(~embedder.held_out_))
    assert embedder.held_out_.sum() == 6


def test_of_many_texts_a_fixed_subsample_is_evaluated(tiny_encoder, monkeypatch):
    texts, y = data(400)
    y[:120] = 2  # 120, 140, 140
    rows = []
    read = _training.read

    def noted(network, samples, which):
        rows.append(which)
        return read(network, samples, which)

    monkeypatch.setattr(_training, "read", noted)
    settings = {"max_epochs": 1, "batch_size": 50, "evaluations_per_epoch": 4}
    embedder = make(tiny_encoder, early_point=None, **settings).fit(texts, y)
    assert [h["n_evaluated"] for h in embedder.history_] == [100] * 5 + [400]
    assert [h["step"] for h in embedder.history_] == [0, 2, 4, 6, 8, 8]
    assert all((each == rows[0]).all() for each in rows)
    assert np.bincount(y[rows[0]]).tolist() == [35, 35, 30]
    whole, part = embedder.history_[-1], embedder.history_[-2]
    losses = embedder.losses_
    assert whole["median_loss"] == pytest.approx(np.median(losses))
    assert part["median_loss"] == pytest.approx(np.median(losses[rows[0]]), abs=1e-5)
    assert part["mean_loss"] == pytest.approx(losses[rows[0]].mean(), abs=1e-5)


def test_accumulated_batches_are_one_large_batch(without_dropout):
    settings = {"early_point": None, "max_epochs": 2, "evaluations_per_epoch": 1}
    whole = make(without_dropout, batch_size=20, **settings).fit(TEXTS, Y)
    settings["gradient_accumulation"] = 2
    parts = make(without_dropout, batch_size=10, **settings).fit(TEXTS, Y)
    assert [h["step"] for h in parts.history_] == [0, 2, 4]
    assert whole.history_[-1]["mean_loss"] < 0.99 * whole.history_[0]["mean_loss"]
    np.testing.assert_allclose(parts.logits_, whole.logits_, atol=1e-4)


def test_a_sample_of_weight_0_is_as_good_as_another(without_dropout):
    classifier = make(without_dropout, FineTunedClassifier, max_epochs=1)
    weights = np.where(np.arange(40) < 20, 1.0, 0.0)
    changed = np.where(weights > 0, Y, 1 - Y)
    one = classifier.fit(TEXTS, Y, weights).logits_
    np.testing.assert_array_equal(classifier.fit(TEXTS, changed, weights).logits_, one)
    assert abs(classifier.fit(TEXTS, changed).logits_ - one).max() > 1e-2


def test_balanced_classes_weigh_the_same():
    classes = np.array(["a", "b", "c"])
    codes = np.array([0] * 6 + [1] * 3 + [2])
    weights = loss_weights("balanced", classes, codes, None)
    np.testing.assert_allclose(np.bincount(codes, weights), 10 / 3)
    assert all(np.ptp(weights[codes == k]) == 0 for k in range(3))
    sample_weight = np.array([2.0] + [0.5] * 8 + [3.0])
    weights = loss_weights("balanced", classes, codes, sample_weight)
    np.testing.assert_allclose(np.bincount(codes, weights), 10 / 3)
    assert weights[0] == pytest.approx(4 * weights[1])


def test_mixed_precision_trains_and_is_read_in_float32(tiny_encoder):
    settings = {"early_point": None, "max_epochs": 2}
    mixed = make(tiny_encoder, mixed_precision="bf16", **settings).fit(TEXTS, Y)
    plain = make(tiny_encoder, **settings).fit(TEXTS, Y)
    gap = abs(mixed.logits_ - plain.logits_).max()
    assert 1e-5 < gap < 0.5
    assert "forward" not in vars(mixed._network)  # no wrapper of accelerate is left
    again = pickle.loads(pickle.dumps(mixed))
    np.testing.assert_array_equal(again.transform(TEXTS), mixed.transform(TEXTS))


def test_streams_of_several_gpus_are_kept_without_a_warning(monkeypatch):
    """The CUDA streams are stand-ins: there need be no GPU for this."""
    states, seen = {0: 5, 1: 6}, []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", states.get)
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: seen.append((device, state))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with _training.streams_kept():
            torch.rand(3)
    assert seen == [(0, 5), (1, 6)]
