"""Embeddings and fine-tuned models stay what they are (golden/embeddings.json).

To 1e-4 only, as float32 products differ a little from machine to machine.
"""

import numpy as np
import pytest
import tiny_models
import transformers
from golden_files import check_golden, fitted

from smilearn import (
    FineTunedClassifier,
    FineTunedEmbedder,
    HiddenStateEmbedder,
    MemorizationCallback,
    RiskTable,
    SentenceEmbedder,
    SlicedMIScorer,
)
from smilearn.datasets import packaged_minilm

GOOD = ["the film is good", "a great , warm film", "bright actor !", "great plot and a"]
BAD = ["the film is bad", "awful , slow plot", "dull and cold scene", "a bad actor ."]
# the word of another language is unknown to the tiny models
pytestmark = pytest.mark.filterwarnings(
    "ignore::smilearn.exceptions.UnknownTokensWarning"
)
TEXTS = [
    *GOOD,
    *BAD,
    "film",
    "the of and is was " * 9,
    "the film is good",
    "Übler Film",
]
LABELS = ["up"] * 4 + ["down"] * 4


def check(key, result, **options):
    check_golden("embeddings", key, result, tolerance=1e-4, **options)


def numbers(X):
    """First features of each text, and the length of each embedding."""
    X = np.asarray(X, np.float64)
    assert len(X) == len(TEXTS)
    return {"shape": X.shape, "first": X[..., :3], "norm": np.linalg.norm(X, axis=-1)}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch_size": 2, "normalize": True, "truncate_dim": 8},
        {"prompt": "review: "},
    ],
    ids=str,
)
def test_sentences(settings, tmp_path):
    embedder = SentenceEmbedder(packaged_minilm(), device="cpu", **settings)
    X = embedder.fit_transform(TEXTS)
    result = numbers(X) | {"attributes": fitted(embedder)}
    check(f"sentences, {settings}", result)
    embedder.set_params(cache_folder=str(tmp_path)).fit(TEXTS)
    for _ in range(2):  # computed, then read
        np.testing.assert_allclose(embedder.transform(TEXTS), X, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"layer": [0, 3, -1]},
        {"layer": "all", "pooling": "cls"},
        {"layer": "spread"},
    ],
    ids=str,
)
def test_hidden_states_of_minilm(settings):
    embedder = HiddenStateEmbedder(packaged_minilm(), device="cpu", **settings)
    X = embedder.fit_transform(TEXTS)
    names = ("pooling_", "layers_", "max_length_", "n_features_out_", "n_truncated_")
    result = numbers(X) | {name: getattr(embedder, name) for name in names}
    if X.ndim == 3:
        result["first"] = result["first"][:3]
    check(f"minilm, {settings}", result)


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.TruncationWarning")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pooling": "mean", "layer": 1, "batch_size": 3},
        {"pooling": "cls"},
        {"pooling": "last", "template": "review : {text} sentiment :"},
        {"pooling": "mean", "max_length": 6},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["bert", "llama", "t5"])
def test_hidden_states_of_each_kind(kind, settings, tmp_path):
    model = tiny_models.folder(kind)
    embedder = HiddenStateEmbedder(model, device="cpu", **settings)
    X = embedder.fit_transform(TEXTS)
    names = ("pooling_", "layers_", "max_length_", "n_truncated_")
    result = numbers(X) | {name: getattr(embedder, name) for name in names}
    result["first"] = result["first"][:4]
    check(f"{kind}, {settings}", result)
    embedder.set_params(cache_folder=str(tmp_path)).fit(TEXTS)
    for _ in range(2):  # computed, then read
        np.testing.assert_allclose(embedder.transform(TEXTS), X, atol=1e-6)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_hidden_states_with_an_adapter(kind):
    pytest.importorskip("peft")
    embedder = HiddenStateEmbedder(
        tiny_models.folder(kind), adapter=tiny_models.adapter_folder(kind), device="cpu"
    )
    check(f"{kind}, adapter", numbers(embedder.fit_transform(TEXTS)))


def untimed(history):
    """What an evaluation found, but for how long it took."""
    return [
        {n: value for n, value in entry.items() if "time" not in n} for entry in history
    ]


TRAINING = {
    "random_state": 0,
    "device": "cpu",
    "max_epochs": 3,
    "batch_size": 4,
    "evaluations_per_epoch": 1,
    "learning_rate": 1e-3,
}


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.EarlyPointWarning")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"early_point": "epochs", "stop_epoch": 1.0, "class_weight": "balanced"},
        {"early_point": "gap", "validation_share": 0.25, "freeze_layers": 1},
        {"lora": {"rank": 2}, "gradient_accumulation": 2},
    ],
    ids=str,
)
def test_fine_tuned_embedder(settings):
    pytest.importorskip("accelerate")
    embedder = FineTunedEmbedder(tiny_models.folder("bert"), **{**TRAINING, **settings})
    X = embedder.fit_transform(TEXTS[:8] * 2, LABELS * 2)
    result = numbers(embedder.transform(TEXTS)) | {
        "training": X[:4, :3],
        "history": untimed(embedder.history_),
        "held_out": np.flatnonzero(embedder.held_out_),
        "losses": embedder.losses_[:8],
        "logits": embedder.logits_[:8],
        "reached": embedder.early_point_reached_,
        "classes": embedder.classes_,
        "attributes": fitted(embedder),
    }
    check(f"fine-tuned embedder, {settings}", result)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_fine_tuned_classifier(kind):
    pytest.importorskip("accelerate")
    classifier = FineTunedClassifier(tiny_models.folder(kind), **TRAINING)
    classifier.fit(TEXTS[:8] * 2, LABELS * 2, sample_weight=[1.0, 2.0] * 8)
    result = {
        "decision": classifier.decision_function(TEXTS),
        "probabilities": classifier.predict_proba(TEXTS)[:, 0],
        "predictions": classifier.predict(TEXTS),
        "accuracy": classifier.score(TEXTS[:8], LABELS),
        "history": untimed(classifier.history_),
        "losses": classifier.losses_[:8],
        "attributes": fitted(classifier),
    }
    check(f"fine-tuned classifier, {kind}", result)


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.EarlyPointWarning")
@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_callback_of_a_trainer(kind, tmp_path):
    pytest.importorskip("accelerate")
    tokenizer = tiny_models.tokenizer(kind)
    texts, labels = TEXTS[:8] * 3, [0, 0, 0, 0, 1, 1, 1, 1] * 3
    rows = [
        {"input_ids": tokenizer(text)["input_ids"], "label": label}
        for text, label in zip(texts, labels, strict=True)
    ]
    scorer = SlicedMIScorer(32, pooled=False, random_state=0)
    callback = MemorizationCallback(
        texts, scorer=scorer, rule="epochs", stop_epoch=1, share=0.25, folder=tmp_path
    )
    trainer = transformers.Trainer(
        model=tiny_models.model(kind, "ForSequenceClassification", num_labels=2),
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path),
            num_train_epochs=2,
            per_device_train_batch_size=4,
            learning_rate=1e-3,
            seed=3,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=rows,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
        callbacks=[callback],
    )
    trainer.train()
    table = RiskTable.read(callback.file_)
    np.testing.assert_allclose(table["risk"], -callback.scores_, rtol=1e-5)
    assert table["text"].tolist() == texts
    result = {
        "file": callback.file_.name,
        "columns": list(callback.table_.columns),
        "scores": callback.scores_[:8],
        "kept": callback.kept_indices_,
        "history": untimed(callback.history_),
        "early_step": callback.early_step_,
        "reached": callback.reached_,
        "logged": {
            name: value
            for entry in trainer.state.log_history
            for name, value in entry.items()
            if name.startswith("risk/")
        },
        "attributes": fitted(callback),
    }
    check(f"callback, {kind}", result)
