"""Pooling, on numbers that can be read off, and what each classifier's head reads."""

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from hidden_rows import BY_HAND, TEXTS, check_logits
from tokenizers import processors
from transformers import BertForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from smilearn import HiddenStateEmbedder
from smilearn.embedding._pooling import pool
from smilearn.exceptions import InvalidInputError

pytestmark = pytest.mark.usefixtures("one_thread", "no_network")
HIDDEN = torch.tensor([[[1.0, 9], [3, 5], [8, 8]], [[2, 2], [4, 0], [6, 4]]])
RIGHT = torch.tensor([[1, 1, 0], [1, 1, 1]])
LEFT = torch.tensor([[0, 1, 1], [1, 1, 1]])
HEAD = "ForSequenceClassification"


@pytest.mark.parametrize(
    ("pooling", "mask", "rows"),
    [
        ("mean", RIGHT, [[2, 7], [4, 2]]),
        ("cls", RIGHT, [[1, 9], [2, 2]]),
        ("last", RIGHT, [[3, 5], [6, 4]]),
        ("last", LEFT, [[8, 8], [6, 4]]),
        (lambda hidden, mask: hidden[:, 1], RIGHT, [[3, 5], [4, 0]]),
    ],
)
def test_rows(pooling, mask, rows):
    assert pool(pooling, HIDDEN, mask).tolist() == rows


def test_means_of_halves_are_taken_in_float32():
    hidden = torch.full((1, 3000, 1), 1.001, dtype=torch.bfloat16)
    hidden[0, 0] = 100
    pooled = pool("mean", hidden, torch.ones(1, 3000))
    assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx((2999 + 100) / 3000, rel=1e-6)


@pytest.mark.parametrize("given", [HIDDEN[:1, 0], HIDDEN, None, [[1.0, 2.0]]])
def test_a_callable_gives_one_vector_a_text(given):
    with pytest.raises(InvalidInputError, match=r"into a tensor .n_texts, n_features"):
        pool(lambda hidden, mask: given, HIDDEN, RIGHT)


def test_a_text_of_no_token_has_a_mean_that_is_a_number():
    assert pool("mean", torch.ones(1, 3, 2), torch.zeros(1, 3)).tolist() == [[0, 0]]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", BY_HAND)
def test_the_head_makes_its_logits_from_the_embedding(kind, side):
    embedder = HiddenStateEmbedder(tiny.folder(kind, HEAD, padding_side=side)).fit([])
    assert embedder.pooling_ == ("last" if kind in tiny.DECODERS else "cls")
    X, network = embedder.transform(TEXTS), tiny.model(kind, HEAD)
    logits = check_logits(network, kind, tiny.tokenizer(kind), TEXTS, X)
    assert np.ptp(logits, axis=0).min() > 0.03
    for other in {"mean", "cls", "last"} - {embedder.pooling_}:
        Z = HiddenStateEmbedder(network, tokenizer=tiny.tokenizer(kind), pooling=other)
        assert abs(Z.fit_transform(TEXTS) - X).max() > 0.1


def ends_in_eos(kind):
    """A tokenizer that pads with the token that it ends each text with."""
    words = tiny.tokenizer(kind, pad_token="</s>")
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    return words


@pytest.mark.parametrize("template", [None, "{text} </s>", "film </s> {text} </s>"])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_decoder_that_pads_with_the_end_of_a_text(kind, template):
    """Its head takes the end of each text for padding."""
    network, words = tiny.model(kind, HEAD, pad_token_id=3), ends_in_eos(kind)
    embedder = HiddenStateEmbedder(network, tokenizer=words, template=template)
    rows = torch.from_numpy(embedder.fit_transform(TEXTS))
    assert embedder.pooling_ == "last"
    whole = [(template or "{text}").format(text=text) for text in TEXTS]
    with torch.inference_mode():
        padded = network(**words(whole, padding=True, return_tensors="pt")).logits
        logits = network.score(rows).numpy()
    np.testing.assert_allclose(logits, padded, atol=1e-4)
    named = HiddenStateEmbedder(network, tokenizer=words, pooling="last")
    assert abs(named.fit_transform(whole) - rows.numpy()).max() > 0.1


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.UnknownTokensWarning")
@pytest.mark.parametrize("kind", BY_HAND)
def test_pad_tokens_within_texts(kind):
    texts = ["<pad> good film <pad>", "film <pad> <pad>", "good <pad> film", "<pad>"]
    network, words = tiny.model(kind, HEAD), tiny.tokenizer(kind)
    X = HiddenStateEmbedder(network, tokenizer=words).fit([]).transform(texts)
    check_logits(network, kind, words, texts, X)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_head_that_may_read_either(pooling):
    sizes = {**tiny._USUAL, **tiny._SMALL, "cls_token_id": 2, "sep_token_id": 3}
    config = transformers.ModernBertConfig(**sizes, classifier_pooling=pooling)
    network = transformers.ModernBertForSequenceClassification(config)
    embedder = HiddenStateEmbedder(network, tokenizer=tiny.tokenizer("bert"))
    assert embedder.fit(TEXTS).pooling_ == pooling


class OddForSequenceClassification(BertForSequenceClassification):
    """Reads the first token and the second."""

    def forward(self, input_ids, attention_mask=None):
        states = self.bert(input_ids, attention_mask).last_hidden_state
        logits = self.classifier(states[:, 0] - 2 * states[:, 1])
        return SequenceClassifierOutput(logits=logits)


def test_a_head_that_reads_something_else_is_an_error():
    network = OddForSequenceClassification(tiny.model("bert", HEAD).config)
    words = tiny.tokenizer("bert")
    match = r"given \(OddFor.*nothing to follow\. Name the pooling: 'mean'"
    with pytest.raises(InvalidInputError, match=match):
        HiddenStateEmbedder(network, tokenizer=words).fit(TEXTS)
    named = HiddenStateEmbedder(network, tokenizer=words, pooling="mean")
    assert named.fit_transform(TEXTS).shape == (6, 16)
