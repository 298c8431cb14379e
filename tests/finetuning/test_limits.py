"""Limits to what one sample does: clipping, noise, soft labels, fewer passes."""

import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from finetuning_data import TEXTS, Y, classify, data, make
from opacus.accountants import PRVAccountant
from tiny_decoders import decoder
from tiny_models import folder as tiny_folder
from torch import nn
from transformers import DebertaV2Config, DebertaV2Model, MPNetConfig, MPNetModel

from smilearn import (
    FineTunedClassifier,
    FineTunedEmbedder,
    RiskFilter,
    RiskReweighter,
    RiskTable,
    ShadowAudit,
    audit_protection,
)
from smilearn.exceptions import InvalidInputError
from smilearn.finetuning._limits import (
    FewerPasses,
    GradientLimits,
    PoissonBatches,
    SampleLimits,
    privacy_settings,
    spent,
)
from smilearn.finetuning._network import PooledClassifier
from smilearn.finetuning._training import loss_weights

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning"),
]


MODELS = {
    "encoder": ("bert", {}),
    "encoder, frozen": ("bert", {"freeze_layers": 1}),
    "encoder, adapters": ("bert", {"lora": 4}),
    "roberta": ("roberta", {}),
    "distilbert": ("distilbert", {}),
    "gpt2": ("gpt2", {}),
    "llama": ("llama", {}),
    "llama, adapters": ("llama", {"lora": 4, "freeze_layers": 1}),
}


def network_of(kind, settings):
    """A network as it is trained, its batch of 6 texts, and codes of their labels."""
    path = decoder(kind) if kind in ("gpt2", "llama") else tiny_folder(kind)
    estimator = classify(path, **settings)
    torch.manual_seed(0)
    network = estimator._make_network(2)
    samples = estimator._samples(
        TEXTS[:6],
        network,
        codes=Y[:6],
        targets=Y[:6],
        weights=np.linspace(0.5, 1.5, 6),
        clip=None,
    )
    if network.frozen is not None:
        samples.store(network)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network.train(), samples


def by_hand(network, samples):
    """Gradient of each sample by itself, (6, n_weights)."""
    gradients = []
    for row in range(6):
        network.zero_grad()
        network(**samples.collate([{"row": row}]))["loss"].backward()
        used = [p for p in network.parameters() if p.grad is not None]
        gradients.append(torch.cat([p.grad.flatten() for p in used]))
    network.zero_grad()
    return torch.stack(gradients)


def step_of(network, samples, privacy=None, clip=None):
    """What a training step puts in the place of the gradient."""
    limits, args = GradientLimits(network, 6, privacy), SimpleNamespace(max_grad_norm=0)
    limits.batch = 6, clip
    limits.on_train_begin(args, None, None)
    network(**samples.collate([{"row": row} for row in range(6)]))["loss"].backward()
    limits.on_pre_optimizer_step(args, None, None)
    limits.on_train_end(args, None, None)
    assert not any(hasattr(p, "grad_sample") for p in network.parameters())
    return torch.cat([p.grad.flatten() for p in limits.weights])


@pytest.mark.parametrize("name", MODELS)
def test_clipped_gradients_by_hand(name):
    """Each model: the mean of gradients that are clipped one by one."""
    network, samples = network_of(*MODELS[name])
    each = by_hand(network, samples)
    norms = each.norm(dim=1)
    clip = torch.tensor([0.0, 0.3, 0.7, 1.0, 5.0, torch.inf])
    most = clip * norms.median()
    expected = (each * (most / norms).clamp(max=1)[:, None]).mean(0)
    step = step_of(network, samples, clip=clip)
    torch.testing.assert_close(step, expected, rtol=1e-3, atol=1e-5)
    # of privacy: to one norm, and over the batch that is to be expected
    settings = {"noise_multiplier": 0, "sample_rate": 0.5, "max_grad_norm": 0.1}
    expected = (each * (0.1 / norms).clamp(max=1)[:, None]).sum(0) / 3
    step = step_of(network, samples, settings)
    torch.testing.assert_close(step, expected, rtol=1e-3, atol=1e-5)


def test_noise_is_as_large_as_the_accountant_counts_on():
    """Deviation of noise_multiplier x max_grad_norm, over the batch to be expected."""
    network, samples = network_of("bert", {})
    settings = {"sample_rate": 0.5, "max_grad_norm": 0.1}
    still = step_of(network, samples, settings | {"noise_multiplier": 0})
    torch.manual_seed(1)
    noise = step_of(network, samples, settings | {"noise_multiplier": 2.0}) - still
    assert noise.std().item() == pytest.approx(2.0 * 0.1 / 3, rel=0.05)
    assert noise.mean().abs() < 4 * noise.std() / len(noise) ** 0.5


def test_weights_of_zero_are_no_part_of_the_median():
    network, samples = network_of("bert", {})
    samples.weights = np.array([0.0, 0, 0, 0, 1, 2])
    norms = by_hand(network, samples).norm(dim=1)
    step = step_of(network, samples, clip=torch.full((6,), 1e6))
    assert step.norm() > 0.1 * norms.max() / 6


ONE_LAYER = {"vocab_size": 99, "hidden_size": 16, "num_hidden_layers": 1}
ONE_LAYER |= {"num_attention_heads": 2, "intermediate_size": 16}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}


def deberta():
    """Relative positions, which are not trained, go through the maps of the texts."""
    config = DebertaV2Config(**ONE_LAYER, **RELATIVE, share_att_key=True)
    model = DebertaV2Model(config)
    model.encoder.rel_embeddings.requires_grad_(False)
    return model


def mpnet():
    """A bias over pairs of places has no gradient of a text."""
    return MPNetModel(MPNetConfig(**ONE_LAYER))


@pytest.mark.parametrize(
    ("make_model", "told"),
    [(deberta, "on something else than texts"), (mpnet, "relative_attention_bias")],
)
def test_models_that_share_weights_among_texts_are_refused(make_model, told):
    samples = network_of("bert", {})[1]
    network = PooledClassifier(make_model(), 2).train()
    with pytest.raises(InvalidInputError, match=told):
        step_of(network, samples, clip=torch.ones(6))


def test_a_weight_that_some_steps_leave_out_is_refused():
    """It would be neither clipped nor hidden by noise."""
    network, samples = network_of("bert", {})
    limits, args = GradientLimits(network, 6), SimpleNamespace(max_grad_norm=0)
    limits.batch = 6, torch.ones(6)
    limits.on_train_begin(args, None, None)
    batch = samples.collate([{"row": row} for row in range(6)])
    network(**batch)["loss"].backward()
    limits.on_pre_optimizer_step(args, None, None)
    limits.on_optimizer_step(args, None, None)
    network.head.bias.grad = None
    with pytest.raises(InvalidInputError, match=r"head\.bias.*not every step uses"):
        limits.on_pre_optimizer_step(args, None, None)


def test_without_a_limit_training_is_what_it_was(tiny_encoder):
    plain = classify(tiny_encoder).fit(TEXTS, Y)
    clipped = classify(tiny_encoder).fit(
        TEXTS, Y, clip=np.full(40, np.inf), passes=np.ones(40), soft_labels=np.eye(2)[Y]
    )
    np.testing.assert_allclose(clipped.logits_, plain.logits_, atol=1e-4)
    assert plain.epsilon_ == clipped.epsilon_ == np.inf
    assert plain.privacy_ is None
    again = pickle.loads(pickle.dumps(clipped))
    np.testing.assert_array_equal(again.predict(TEXTS), clipped.predict(TEXTS))


HALF = np.arange(40) % 4 < 2


@pytest.mark.parametrize(
    "limit", [{"clip": np.where(HALF, 0.0, np.inf)}, {"passes": 1.0 - HALF}], ids=list
)
def test_what_is_limited_to_nothing_is_not_learned(tiny_encoder, limit):
    """Half of the labels are wrong here, and those leave no trace."""
    y = np.where(HALF, 1 - Y, Y)
    classifier = classify(tiny_encoder, max_epochs=12).fit(TEXTS, y, **limit)
    assert (classifier.predict(TEXTS) == Y).mean() > 0.9


def test_soft_labels_are_what_is_learned(tiny_encoder):
    soft = np.where(Y[:, None] == [0, 1], 0.7, 0.3)
    classifier = classify(tiny_encoder, max_epochs=30).fit(TEXTS, Y, soft_labels=soft)
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), soft, atol=0.1)


def test_passes_are_the_first_epochs():
    samples = SimpleNamespace(weights=np.array([1.0, 2.0, 3.0, 4.0]))
    passes = np.array([0.0, 0.1, 0.5, 1.0])
    limits = SampleLimits(np.zeros(4, int), 2, passes=passes)
    (callback,) = limits.callbacks(samples, 4)
    assert isinstance(callback, FewerPasses)
    (odd,) = SampleLimits(np.zeros(2, int), 2, passes=[7 / 25, 14 / 25]).callbacks(
        SimpleNamespace(weights=np.ones(2)), 25
    )
    odd.on_epoch_begin(None, SimpleNamespace(epoch=7.0), None)
    assert odd.samples.weights.tolist() == [0, 1]
    trained = []
    for epoch in (0.0, 1.0, 2.0, 3.0):
        callback.on_epoch_begin(None, SimpleNamespace(epoch=epoch), None)
        trained.append(samples.weights.tolist())
    assert trained == [[0, 2, 3, 4], [0, 0, 3, 4], [0, 0, 0, 4], [0, 0, 0, 4]]


def test_poisson_batches_hold_each_row_with_the_same_chance():
    batches = PoissonBatches(200, 0.1, seed=0)
    assert len(batches) == 10
    first = [list(batch) for batch in batches]
    assert first == [list(batch) for batch in batches]
    counts = np.zeros(200)
    for batches.epoch in range(400):
        for batch in batches:
            counts[batch] += 1
    assert first != [list(batch) for batch in batches]
    assert counts.mean() == pytest.approx(400, rel=0.01)
    assert counts.std() == pytest.approx((4_000 * 0.1 * 0.9) ** 0.5, rel=0.2)


def test_epsilon_is_that_of_the_accountant(tiny_encoder):
    """One step after the other, as opacus counts them."""
    private = {"noise_multiplier": 0.8, "delta": 1e-3}
    classifier = classify(tiny_encoder, privacy=private).fit(TEXTS, Y)
    assert classifier.history_[-1]["step"] == 15
    accountant = PRVAccountant()
    for _ in range(15):
        accountant.step(noise_multiplier=0.8, sample_rate=0.2)
    assert classifier.epsilon_ == pytest.approx(accountant.get_epsilon(1e-3))
    expected = {**private, "max_grad_norm": 1.0, "sample_rate": 0.2}
    assert classifier.privacy_ == expected
    earlier = {"early_point": "epochs", "stop_epoch": 1}
    earlier = classify(tiny_encoder, privacy=private, **earlier).fit(TEXTS, Y)
    assert 0 < earlier.epsilon_ < classifier.epsilon_


def test_a_target_epsilon_is_kept_to(tiny_encoder):
    for kind in (FineTunedClassifier, FineTunedEmbedder):
        fitted = make(tiny_encoder, kind, privacy=4.0, early_point=None).fit(TEXTS, Y)
        assert 3.9 < fitted.epsilon_ <= 4.0
        assert fitted.privacy_["delta"] == pytest.approx(0.1 / 40)
        assert fitted.privacy_["noise_multiplier"] > 0.5


def test_without_noise_epsilon_is_infinite(tiny_encoder):
    private = {"noise_multiplier": 0, "max_grad_norm": 1.0}
    classifier = classify(tiny_encoder, privacy=private, max_epochs=12).fit(TEXTS, Y)
    assert classifier.epsilon_ == np.inf
    assert (classifier.predict(TEXTS) == Y).mean() > 0.9
    assert spent({"noise_multiplier": 1.0, "sample_rate": 0.1, "delta": 0.1}, 0) == 0


def test_private_weights_do_not_depend_on_one_another():
    """One sample of a large weight leaves those of the others as they are."""
    codes, weight = np.array([0, 1, 0]), np.array([400.0, 1, 1])
    given = {0: 2.0}, np.array([0, 1]), codes
    private = loss_weights(*given, weight, private=True)
    assert private.tolist() == [800, 1, 2]
    assert loss_weights(*given, weight).mean() == pytest.approx(1)


def test_small_batches_may_be_empty(tiny_encoder):
    """Of batches of 1 to be expected, a third is empty; they are steps as others."""
    classifier = classify(tiny_encoder, privacy=8.0, batch_size=1, max_epochs=1)
    assert classifier.fit(TEXTS, Y).history_[-1]["step"] == 40
    assert np.isfinite(classifier.logits_).all()


@pytest.mark.parametrize("limit", ["privacy", "passes"])
def test_a_killed_run_goes_on(tiny_encoder, tmp_path, limit, monkeypatch):
    """After a kill in the second epoch, the result is that of a run without."""
    settings = {"evaluations_per_epoch": 2, "max_epochs": 3}
    settings |= {"privacy": 8.0} if limit == "privacy" else {}
    fit = {"passes": np.linspace(0, 1, 40)} if limit == "passes" else {}
    plain = classify(tiny_encoder, **settings).fit(TEXTS, Y, **fit)

    def die(self, args, state, control, **kwargs):
        if state.global_step == 9:
            raise RuntimeError("killed")

    for name in (GradientLimits, FewerPasses):
        monkeypatch.setattr(name, "on_step_end", die, raising=False)
    settings["checkpoint_folder"] = tmp_path / "run"
    with pytest.raises(RuntimeError, match="killed"):
        classify(tiny_encoder, **settings).fit(TEXTS, Y, **fit)
    monkeypatch.undo()
    again = classify(tiny_encoder, **settings).fit(TEXTS, Y, **fit)
    np.testing.assert_array_equal(again.logits_, plain.logits_)
    assert again.epsilon_ == plain.epsilon_
    if limit == "passes":
        with pytest.raises(InvalidInputError, match="other limits"):
            classify(tiny_encoder, **settings).fit(TEXTS, Y)


@pytest.mark.parametrize(
    ("settings", "fit", "message"),
    [
        ({"privacy": {}}, {}, "one of epsilon and noise_multiplier"),
        ({"privacy": {"epsilon": 8, "noise_multiplier": 1}}, {}, "one of epsilon and"),
        ({"privacy": {"sigma": 8}}, {}, "no setting 'sigma'; settings are: epsilon"),
        ({"privacy": {"epsilon": "8"}}, {}, "epsilon must be above 0 and below 100"),
        ({"privacy": {"noise_multiplier": -1}}, {}, "noise_multiplier must be 0 or"),
        ({"privacy": {"epsilon": 8, "delta": 1}}, {}, "and below 0.025; got 1"),
        ({"privacy": {"epsilon": 1_000}}, {}, "above 0 and below 100; got 1000"),
        ({"privacy": {"noise_multiplier": 0.001}}, {}, "cannot tell noise and epsilon"),
        ({"privacy": 8.0, "class_weight": "balanced"}, {}, "class sizes are not"),
        ({"privacy": 8.0, "early_point": "gap"}, {}, "or 'epochs'; got 'gap'"),
        ({"privacy": 8.0}, {"clip": np.ones(40)}, "leave out clip"),
        ({"privacy": 8.0, "gradient_accumulation": 2}, {}, "accumulation=1; got 2"),
        ({"gradient_accumulation": 2}, {"clip": np.ones(40)}, "accumulation=1; got 2"),
        ({"mixed_precision": "fp16"}, {"clip": np.ones(40)}, "clip needs mixed_p"),
        ({}, {"clip": np.ones(39)}, r"clip must be of shape \(40,\).*got shape \(39,"),
        ({}, {"clip": -np.ones(40)}, r"0 to inf; got -1.0 to -1.0"),
        ({}, {"passes": np.full(40, 2)}, "values of 0 to 1; got 2.0 to 2.0"),
        ({}, {"passes": np.full(40, np.nan)}, "got NaN"),
        ({}, {"soft_labels": np.ones(40)}, r"soft_labels must be of shape \(40, 2\)"),
        ({}, {"soft_labels": np.ones((40, 2))}, "must sum to 1"),
    ],
)
def test_mistakes(tiny_encoder, settings, fit, message):
    with pytest.raises(InvalidInputError, match=message):
        classify(tiny_encoder, **settings).fit(TEXTS, Y, **fit)


def test_no_noise_is_enough_for_an_epsilon_next_to_nothing():
    with pytest.raises(InvalidInputError, match="Raise epsilon"):
        privacy_settings(1e-9, 40, 8, 3)


@pytest.mark.slow
def test_a_canary_is_exposed_without_protection_and_not_with_it(tiny_encoder):
    """A text with a wrong label and a name that no other text has."""
    texts, y = data(40, seed=5)
    texts[0], y[0] = "good film the plot was Zanzibar", 0
    canary = np.arange(40) == 0
    table = RiskTable(
        np.where(canary, -3.0, 3.0),
        y,
        probability=np.where(canary, 0.02, 0.98),
        most_likely_label=np.where(canary, 1, y),
    )
    cleaner = RiskFilter(table, threshold=0.0, match="index")
    plain = classify(tiny_encoder, max_epochs=15)
    options = {"weight": lambda risk: np.where(risk > 0, 0.02, 1.0)}
    protections = {
        on: RiskReweighter(plain, cleaner, on=on, **options)
        for on in ("loss", "label", "gradient", "passes")
    }
    private = {"noise_multiplier": 1.0}
    protections["private"] = classify(tiny_encoder, max_epochs=15, privacy=private)
    audit = ShadowAudit(plain, n_shadow=8, random_state=0)
    run = {"protections": protections, "drop": False, "control": False}
    effect = audit_protection(audit, [0], pd.Series(texts), y, n_bootstrap=10, **run)
    lira = {arm: effect.samples[f"lira_{arm}"][0] for arm in effect.arms}
    assert lira.pop("nothing") > 2, lira
    assert all(ratio < 0.5 for ratio in lira.values()), lira
