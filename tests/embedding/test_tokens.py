"""Tokens: what is cut, counted and padded; tokenizers that are not the model's own."""

import numpy as np
import pytest
import tiny_models as tiny
import transformers
from hidden_rows import copied

from smilearn import (
    FineTunedClassifier,
    FineTunedEmbedder,
    HiddenStateEmbedder,
    SentenceEmbedder,
)
from smilearn.embedding._tokens import count_longer, tokenize
from smilearn.exceptions import (
    InvalidInputError,
    ModelUnavailableError,
    TruncationWarning,
    UnknownTokensWarning,
)

pytestmark = pytest.mark.usefixtures("one_thread", "no_network")
TEXTS = ["the good film", "a bad movie", "great plot", "dull actor"]
START = {"early_point": "epochs", "stop_epoch": 0, "max_epochs": 1, "random_state": 0}
ESTIMATORS = {
    HiddenStateEmbedder: {},
    SentenceEmbedder: {},
    FineTunedEmbedder: START,
    FineTunedClassifier: START,
}
OF_EACH = pytest.mark.parametrize("estimator", ESTIMATORS)
DEBERTA = {**tiny._USUAL, "vocab_size": 160, "pad_token_id": 0}


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
    assert count_longer(texts * 2, words, max_length, template) == 2 * sum(longer)
    for text, tokens, cut in zip(texts, found, longer, strict=True):
        whole = words(template.format(text=text))["input_ids"]
        assert cut == (len(whole) > max_length)
        if not cut:
            assert tokens == whole
            continue
        starts = [words(template.format(text=text[:n]))["input_ids"] for n in range(99)]
        assert len(tokens) == max(
            len(each) for each in starts if len(each) <= max_length
        )
        if template != "{text}":  # so the words after the text are all there
            assert tokens in starts


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


def fit(estimator, folder, texts=TEXTS):
    y = [place % 2 for place in range(len(texts))]
    return estimator(folder, **ESTIMATORS[estimator]).fit(texts, y)


def read(estimator, folder, texts):
    """Fit to texts, and read them."""
    fitted = fit(estimator, folder, texts)
    return fitted.transform(texts) if hasattr(fitted, "transform") else None


def bare(kind, path):
    """What a Trainer leaves that was given no tokenizer."""
    if kind == "deberta":
        network = transformers.DebertaV2Model(transformers.DebertaV2Config(**DEBERTA))
    else:
        network = tiny.model(kind)
    network.save_pretrained(path)
    return path


@pytest.mark.parametrize("loaded", [False, True])
def test_a_tokenizer_that_is_given_has_words(loaded, tmp_path):
    words = bare("bert", tmp_path)
    if loaded:
        words = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ModelUnavailableError, match="has no tokenizer of its own, or"):
        HiddenStateEmbedder(tiny.model("bert"), tokenizer=words).fit(TEXTS)


@pytest.mark.parametrize(
    "estimator, kind",
    [
        *((each, "bert") for each in ESTIMATORS),
        *((HiddenStateEmbedder, kind) for kind in (*tiny.KINDS, "deberta")),
        (SentenceEmbedder, "deberta"),
    ],
)
def test_a_folder_without_a_tokenizer_is_refused(estimator, kind, tmp_path):
    match = f"{tmp_path.name}' has no tokenizer of its own.* as tokenizer="
    with pytest.raises(ModelUnavailableError, match=match):
        fit(estimator, bare(kind, tmp_path))


def with_tokens(path, n_more, *, special=False, pad_token=None):
    """A folder whose tokenizer got more tokens, and whose model was not resized."""
    copied(tiny.folder("bert"), path)
    words = transformers.AutoTokenizer.from_pretrained(path)
    n_more -= pad_token is not None
    words.add_tokens([f"[{i}x]" for i in range(n_more)], special_tokens=special)
    if pad_token is not None:
        words.add_special_tokens({"pad_token": pad_token})
    words.save_pretrained(path)
    return path, len(words) - 1


N_WORDS = len(tiny.tokenizer("bert"))


@OF_EACH
@pytest.mark.parametrize("pad_token", [None, "[padding]"])
def test_more_tokens_than_the_model_has_rows(estimator, pad_token, tmp_path):
    fit(estimator, with_tokens(tmp_path / "fits", 160 - N_WORDS)[0])
    folder, last = with_tokens(tmp_path / "more", 161 - N_WORDS, pad_token=pad_token)
    assert last == 160
    match = "has tokens up to 160, such as .*, and the model has 160 rows"
    with pytest.raises(InvalidInputError, match=match):
        fit(estimator, folder)


@OF_EACH
def test_special_tokens_without_a_row_matter_where_a_text_has_them(estimator, tmp_path):
    """Some decoders come with one for images, of which no text has any."""
    folder, _ = with_tokens(tmp_path, 161 - N_WORDS, special=True)
    read(estimator, folder, TEXTS)
    image = f"[{160 - N_WORDS}x]"
    with pytest.raises(InvalidInputError, match=r"tokens up to 160, .* has 160 rows"):
        read(estimator, folder, [*TEXTS, f"the {image} film"])


@OF_EACH
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_texts_of_unknown_tokens_are_warned_of(estimator, kind):
    odd = ["xyz uvw good", "!?!?", "好 的"]
    with pytest.warns(UnknownTokensWarning, match=r"4 of 8 texts \(50%\)"):
        read(estimator, tiny.folder(kind), [*TEXTS, *odd, ""])


@OF_EACH
def test_ten_texts_of_unknown_tokens_and_no_other_are_refused(estimator):
    odd = [f"xyz{i}" for i in range(9)]
    with pytest.raises(InvalidInputError, match=r"10 of 10 texts \(100%\)"):
        read(estimator, tiny.folder("bert"), [*odd, ""])


@pytest.mark.parametrize("blank", ["", " \t"])
@OF_EACH
def test_ten_empty_texts_and_no_other_are_refused(estimator, blank):
    with pytest.raises(InvalidInputError, match=r"10 of 10 texts .* are empty"):
        read(estimator, tiny.folder("bert"), [blank] * 10)


def test_the_template_of_a_text_is_not_the_text():
    embedder = HiddenStateEmbedder(
        tiny.folder("bert"), template="the movie was {text} and good"
    )
    with pytest.warns(UnknownTokensWarning, match=r"1 of 3 texts"):
        embedder.fit_transform(["xyz", "bad", "dull film"])
