"""Tokenizers that are not the model's own are refused, and odd texts warned of."""

import pytest
import tiny_models as tiny
import transformers
from sentence_transformers import SentenceTransformer
from test_model_sources import copied

from smilearn import (
    FineTunedClassifier,
    FineTunedEmbedder,
    HiddenStateEmbedder,
    SentenceEmbedder,
)
from smilearn.exceptions import (
    InvalidInputError,
    ModelUnavailableError,
    UnknownTokensWarning,
)

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ["the good film", "a bad movie", "great plot", "dull actor"]
Y = [1, 0, 1, 0]
START = {"early_point": "epochs", "stop_epoch": 0, "max_epochs": 1, "random_state": 0}
ESTIMATORS = {
    HiddenStateEmbedder: {},
    SentenceEmbedder: {},
    FineTunedEmbedder: START,
    FineTunedClassifier: START,
}
OF_EACH = pytest.mark.parametrize("estimator", ESTIMATORS)
DEBERTA = {**tiny._USUAL, "vocab_size": 160, "pad_token_id": 0}


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


@OF_EACH
@pytest.mark.parametrize("kind", [*tiny.KINDS, "deberta"])
def test_a_folder_without_a_tokenizer_is_refused(estimator, kind, tmp_path):
    match = f"{tmp_path.name}' has no tokenizer of its own.* as tokenizer="
    with pytest.raises(ModelUnavailableError, match=match):
        fit(estimator, bare(kind, tmp_path))


def test_a_loaded_model_from_a_folder_without_a_tokenizer_is_refused(tmp_path):
    network = transformers.AutoModel.from_pretrained(bare("bert", tmp_path))
    with pytest.raises(ModelUnavailableError, match=f"{tmp_path.name}.*tokenizer="):
        HiddenStateEmbedder(network).fit(TEXTS)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_tokenizer_that_is_given_has_words(loaded, tmp_path):
    words = bare("bert", tmp_path)
    if loaded:
        words = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ModelUnavailableError, match="has no tokenizer of its own, or"):
        HiddenStateEmbedder(tiny.model("bert"), tokenizer=words).fit(TEXTS)


def test_a_folder_without_a_tokenizer_is_read_with_one(tmp_path):
    embedder = HiddenStateEmbedder(
        bare("bert", tmp_path), tokenizer=tiny.tokenizer("bert")
    )
    same = HiddenStateEmbedder(tiny.folder("bert")).fit_transform(TEXTS)
    assert (embedder.fit_transform(TEXTS) == same).all()


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
    folder, last = with_tokens(tmp_path, 161 - N_WORDS, pad_token=pad_token)
    assert last == 160
    match = "has tokens up to 160, such as .*, and the model has 160 rows"
    with pytest.raises(InvalidInputError, match=match):
        fit(estimator, folder)


@OF_EACH
def test_as_many_tokens_as_rows_fit(estimator, tmp_path):
    folder, last = with_tokens(tmp_path, 160 - N_WORDS)
    assert last == 159
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
    with pytest.warns(UnknownTokensWarning, match=r"3 of 8 texts \(38%\)"):
        read(estimator, tiny.folder(kind), [*TEXTS, *odd, ""])


@OF_EACH
def test_ten_texts_of_unknown_tokens_and_no_other_are_refused(estimator):
    odd = [f"xyz{i}" for i in range(10)]
    with pytest.raises(InvalidInputError, match=r"10 of 10 texts \(100%\)"):
        read(estimator, tiny.folder("bert"), odd)


@OF_EACH
def test_known_texts_are_not_warned_of(estimator, recwarn):
    texts = [f"{text} {word}" for text in TEXTS for word in tiny.WORDS[:5]]
    read(estimator, tiny.folder("bert"), [*texts, "xyz", ""])
    assert not [each for each in recwarn if each.category is UnknownTokensWarning]


def test_the_template_of_a_text_is_not_the_text():
    embedder = HiddenStateEmbedder(
        tiny.folder("bert"), template="the movie was {text} and good"
    )
    with pytest.warns(UnknownTokensWarning, match=r"1 of 3 texts"):
        embedder.fit_transform(["xyz", "bad", "dull film"])


def test_sentence_folders_without_a_tokenizer_are_refused(tmp_path):
    SentenceTransformer(tiny.folder("bert")).save(str(tmp_path))
    for file in tmp_path.glob("*token*"):
        file.unlink()
    with pytest.raises(ModelUnavailableError, match="has no tokenizer of its own"):
        SentenceEmbedder(tmp_path).fit(TEXTS)
