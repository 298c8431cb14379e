"""Tokens: what is cut, what is counted, what is padded."""

import numpy as np
import pytest
import tiny_models as tiny
from test_hidden_states import expected

from smilearn import HiddenStateEmbedder
from smilearn.embedding._tokens import (
    EqualTexts,
    count_longer,
    pad,
    tokenize,
)
from smilearn.exceptions import InvalidInputError, TruncationWarning
from smilearn.finetuning._text_samples import TextSamples

pytestmark = pytest.mark.usefixtures("one_thread", "no_network")


def test_truncation_is_counted_with_its_copies_and_warned_of_once():
    network = tiny.model("roberta")
    words = tiny.tokenizer("roberta", model_max_length=10**30)  # knows no limit
    fits, longer = " ".join(["good"] * 46), " ".join(["good"] * 47)
    embedder = HiddenStateEmbedder(network, tokenizer=words).fit([])
    assert embedder.max_length_ == tiny.MOST  # RoBERTa's table has one row more
    with pytest.warns(TruncationWarning, match="2 of 4 texts .* 48 tokens") as caught:
        X = embedder.transform([longer, fits, longer, "good"])
    assert len(caught) == 1
    assert embedder.n_truncated_ == 2
    np.testing.assert_allclose(X[0], X[1], atol=1e-6)
    embedder.transform([fits])
    assert embedder.n_truncated_ == 0
    with pytest.raises(InvalidInputError, match="max_length=49 is more than the 48"):
        embedder.set_params(max_length=49).fit([])


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_template_keeps_its_tail_when_a_text_is_cut(kind):
    template, words = "review : {text} . sentiment :", tiny.tokenizer(kind)
    embedder = HiddenStateEmbedder(tiny.folder(kind), template=template, max_length=12)
    texts = [
        "good film",
        "a bad movie and the plot was dull",
        "a bad movie and the cold",
    ]
    kept = 12 - len(words("review : . sentiment :")["input_ids"])
    prompts = [
        f"review : {' '.join(text.split()[:kept])} . sentiment :" for text in texts
    ]
    with pytest.warns(TruncationWarning, match=r"2 of 3|1 of 3"):
        X = embedder.fit_transform(texts)
    np.testing.assert_allclose(X, expected(kind, "last", prompts)[:, -1], atol=1e-5)
    whole = [f"review : {text} . sentiment :" for text in texts]
    assert abs(X - expected(kind, "last", whole)[:, -1]).max() > 0.01


@pytest.mark.parametrize("template", ["no field", "{text} {text}", "{label}"])
def test_a_template_has_one_field(template):
    with pytest.raises(InvalidInputError, match=r"field \{text\} once; got"):
        HiddenStateEmbedder(tiny.folder("gpt2"), template=template).fit([])


def test_a_template_longer_than_what_is_read():
    embedder = HiddenStateEmbedder(
        tiny.folder("gpt2"), template="a film {text} is good", max_length=3
    )
    with pytest.raises(InvalidInputError, match="template alone has 4 tokens"):
        embedder.fit([])


@pytest.mark.parametrize("template", ["{text}", "review : {text} good :"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "qwen2"])
@pytest.mark.parametrize("max_length", [7, 9, 12])
def test_cut_prompts_are_those_of_the_longest_beginning_that_fits(
    kind, template, max_length
):
    words = tiny.tokenizer(kind)
    max_length += 8 * (kind == "qwen2")  # a first word is a token a letter
    texts = [
        "a bad movie and the plot was dull",
        "good film",
        "a , . ! movie a a a a a",
    ]
    found, longer = tokenize(texts, words, max_length, template)
    counted = count_longer(texts, words, max_length, template)
    for text, tokens, cut, told in zip(texts, found, longer, counted, strict=True):
        whole = words(template.format(text=text))["input_ids"]
        assert cut == told == (len(whole) > max_length)
        if not cut:
            assert tokens == whole
            continue
        starts = [words(template.format(text=text[:n]))["input_ids"] for n in range(99)]
        assert len(tokens) == max(
            len(each) for each in starts if len(each) <= max_length
        )
        if template != "{text}":  # so the words after the text are all there
            assert tokens in starts


def test_counting_looks_only_where_a_text_may_be_longer():
    words = tiny.tokenizer("bert")
    seen = []

    def spy(texts, **options):
        seen.extend(texts)
        return words(texts, **options)

    texts = ["good", "good " * 30, "ü", "a" * 40]
    longer = count_longer(texts, spy, 20)
    assert longer.tolist() == [False, True, False, False]
    assert seen == ["", "good " * 30, "ü", "a" * 40]


def test_a_slow_tokenizer_cuts_prompts_too():
    words = tiny.tokenizer("gpt2")

    class Slow:
        is_fast = False

        def __call__(self, texts, **options):
            return words(texts, **options)

    [tokens], _ = tokenize(
        ["a bad movie was dull"], Slow(), 6, "review : {text} good :"
    )
    assert len(tokens) <= 6
    assert tokens[-2:] == words("good :")["input_ids"]
    assert tokens[2:4] == words("a bad")["input_ids"]


def test_padding_is_on_the_right_and_masked():
    tokens, mask = pad([[5, 6, 7], [8]], 1)
    assert tokens.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_equal_texts_are_found_where_they_stand():
    groups = EqualTexts(["b", "aaa", "b", "cc", "b"])
    assert groups.unique == ["aaa", "cc", "b"]
    indices, repeats = groups.members(np.array([2, 0]))
    assert indices.tolist() == [0, 2, 4, 1]
    assert repeats.tolist() == [3, 1]


def test_samples_for_training_leave_the_tokenizer_alone():
    words = tiny.tokenizer("bert", padding_side="left")
    samples = TextSamples(["good", "a bad film", "the " * 60], words, 10)
    assert words.padding_side == "left"
    assert samples.n_truncated == 1
    batch = samples.batch([2, 1, 0])
    assert batch["attention_mask"].sum(1).tolist() == [10, 5, 3]
    assert batch["input_ids"][2].tolist() == [2, 15, 3] + [0] * 7
