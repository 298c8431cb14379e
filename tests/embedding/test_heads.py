"""What a classifier's head reads, against each head run by hand."""

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from tokenizers import processors
from transformers import BertForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from smilearn import HiddenStateEmbedder
from smilearn.exceptions import InvalidInputError

pytestmark = pytest.mark.usefixtures("one_thread", "no_network")
HEAD = "ForSequenceClassification"
TEXTS = [
    "the good film",
    "a bad movie , and the plot was dull",
    "good",
    "the good film",
]
BY_HAND = {  # logits from what the embedder gives
    "bert": lambda net, rows: net.classifier(net.bert.pooler(rows[:, None])),
    "roberta": lambda net, rows: net.classifier(rows[:, None]),
    "distilbert": lambda net, rows: net.classifier(net.pre_classifier(rows).relu()),
    **dict.fromkeys(tiny.DECODERS, lambda net, rows: net.score(rows)),
}


@torch.inference_mode()
def logits_one_by_one(network, words, texts=TEXTS):
    tokens = [words(text, return_tensors="pt")["input_ids"] for text in texts]
    return np.concatenate([network(input_ids=each).logits.numpy() for each in tokens])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", BY_HAND)
def test_the_head_makes_its_logits_from_the_embedding(kind, side):
    embedder = HiddenStateEmbedder(tiny.folder(kind, HEAD, padding_side=side)).fit([])
    assert embedder.pooling_ == ("last" if kind in tiny.DECODERS else "cls")
    X, network = embedder.transform(TEXTS), tiny.model(kind, HEAD)
    with torch.inference_mode():
        logits = BY_HAND[kind](network, torch.from_numpy(X)).numpy()
    expected = logits_one_by_one(network, tiny.tokenizer(kind))
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert np.ptp(expected, axis=0).min() > 0.03
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
    with torch.inference_mode():
        logits = BY_HAND[kind](network, torch.from_numpy(X)).numpy()
    expected = logits_one_by_one(network, words, texts)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


class LastForSequenceClassification(BertForSequenceClassification):
    """Reads the last token, whatever it is."""

    def forward(self, input_ids, attention_mask=None):
        states = self.bert(input_ids, attention_mask).last_hidden_state
        return SequenceClassifierOutput(logits=self.classifier(states[:, -1]))


def test_a_head_that_reads_a_pad_token_too():
    network = LastForSequenceClassification(tiny.model("bert", HEAD).config).eval()
    words, texts = tiny.tokenizer("bert"), ["good film", "a bad film <pad>"]
    words.backend_tokenizer.post_processor = None
    embedder = HiddenStateEmbedder(network, tokenizer=words)
    rows = torch.from_numpy(embedder.fit_transform(texts))
    with torch.inference_mode():
        logits = network.classifier(rows).numpy()
    expected = logits_one_by_one(network, words, texts)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize("pad_token_id", [None, -1, 160])
def test_a_decoder_whose_pad_token_is_in_no_text(pad_token_id):
    network, words = tiny.model("gpt2", HEAD), tiny.tokenizer("gpt2")
    network.config.pad_token_id = pad_token_id
    texts = [*TEXTS, "a film <pad>"]
    rows = HiddenStateEmbedder(network, tokenizer=words).fit_transform(texts)
    with torch.inference_mode():
        logits = network.score(torch.from_numpy(rows)).numpy()
    expected = logits_one_by_one(network, words, texts)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_head_that_may_read_either(pooling):
    config = transformers.ModernBertConfig(
        vocab_size=160,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        classifier_pooling=pooling,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        cls_token_id=2,
        sep_token_id=3,
    )
    network = transformers.ModernBertForSequenceClassification(config)
    embedder = HiddenStateEmbedder(network, tokenizer=tiny.tokenizer("bert"))
    assert embedder.fit(TEXTS).pooling_ == pooling


class MeanPooler(torch.nn.Module):
    """Stands where BERT has a pooler of its first token."""

    def forward(self, states):
        return states.mean(1).tanh()


def test_a_pooler_that_reads_the_mean():
    network = tiny.model("bert", HEAD)
    network.bert.pooler = MeanPooler()
    embedder = HiddenStateEmbedder(network, tokenizer=tiny.tokenizer("bert"))
    assert embedder.fit(TEXTS).pooling_ == "mean"


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
    assert named.fit_transform(TEXTS).shape == (4, 16)


def test_a_head_on_a_decoder_of_which_the_encoder_is_read():
    folder = tiny.folder("t5", HEAD)
    with pytest.raises(InvalidInputError, match=r'reads the decoder.* pooling="mean"'):
        HiddenStateEmbedder(folder).fit(TEXTS)
    X = HiddenStateEmbedder(folder, pooling="mean").fit_transform(TEXTS)
    network = tiny.model("t5", HEAD).base_model
    states = tiny.states_one_by_one(network, tiny.tokenizer("t5"), TEXTS)
    rows = [each[-1].mean(0).numpy() for each in states]
    np.testing.assert_allclose(X, rows, atol=1e-5)


def test_layers_below_are_pooled_like_the_last():
    words, network = tiny.tokenizer("bert"), tiny.model("bert", HEAD)
    X = HiddenStateEmbedder(network, tokenizer=words, layer="all").fit_transform(TEXTS)
    states = tiny.states_one_by_one(network.bert, words, TEXTS)
    rows = [each[:, 0].numpy() for each in states]
    np.testing.assert_allclose(X, rows, atol=1e-5)
