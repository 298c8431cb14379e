"""Models as people have them: folders, loaded ones, adapters that act."""

import json

import numpy as np
import peft
import pytest
import tiny_models as tiny
from hidden_rows import POOL, TEXTS, check_logits, copied, expected

from smilearn import HiddenStateEmbedder
from smilearn.exceptions import AdapterError, InvalidInputError, ModelUnavailableError

pytestmark = pytest.mark.usefixtures("one_thread", "no_network")


def sentence_folder(path, pooling, inside="", length=None):
    """A sentence-transformers folder around a tiny BERT."""
    copied(tiny.folder("bert"), path / inside)
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": inside},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    settings = {"max_seq_length": length}
    (path / inside / "sentence_bert_config.json").write_text(json.dumps(settings))
    return path


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True, "word_embedding_dimension": 16}, "last"),
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["cls"]}, "cls"),
    ],
)
@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_a_sentence_folder_says_how_it_pools(tmp_path, config, pooling, inside):
    folder = sentence_folder(tmp_path, config, inside, length=20)
    embedder = HiddenStateEmbedder(folder).fit(TEXTS)
    assert (embedder.pooling_, embedder.max_length_) == (pooling, 20)
    X = embedder.transform(TEXTS)
    np.testing.assert_allclose(X, expected("bert", pooling)[:, -1], atol=1e-5)


def test_a_sentence_folder_that_pools_otherwise(tmp_path):
    modes = {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}
    folder = sentence_folder(tmp_path, modes)
    with pytest.raises(InvalidInputError, match=r"pools by 'max\+mean', which is not"):
        HiddenStateEmbedder(folder).fit(TEXTS)
    X = HiddenStateEmbedder(folder, pooling="cls").fit_transform(TEXTS)
    np.testing.assert_allclose(X, expected("bert", "cls")[:, -1], atol=1e-5)


def test_a_loaded_model_without_a_tokenizer():
    match = r"without a tokenizer, and there is none at ''\. Pass tokenizer="
    with pytest.raises(ModelUnavailableError, match=match):
        HiddenStateEmbedder(tiny.model("gpt2")).fit(TEXTS)
    network = tiny.model("gpt2")
    network.config.name_or_path = "/gone/away/gpt2"
    with pytest.raises(ModelUnavailableError, match="there is none at '/gone/away/g"):
        HiddenStateEmbedder(network).fit(TEXTS)
    embedder = HiddenStateEmbedder(network, tokenizer=tiny.folder("gpt2"))
    assert embedder.fit_transform(TEXTS).shape == (6, 16)


def test_a_loaded_model_stays_where_and_what_it_is():
    network = tiny.model("llama").bfloat16()
    embedder = HiddenStateEmbedder(network, tokenizer=tiny.tokenizer("llama"))
    assert embedder.fit_transform(TEXTS).dtype == np.float32
    assert embedder._reader.network is network
    assert str(network.dtype) == "torch.bfloat16"


def test_something_else_than_a_model():
    class Odd:
        def forward(self):
            """Look like a model."""

    with pytest.raises(InvalidInputError, match=r"a PreTrainedModel .* got Odd\."):
        HiddenStateEmbedder(Odd()).fit(TEXTS)
    with pytest.raises(ValueError, match="'model' parameter of HiddenStateEmbedder"):
        HiddenStateEmbedder(3).fit(TEXTS)


def last_of_wrapped(kind, head="Model"):
    """Mean or last token of each text alone, by the model that peft wrapped."""
    wrapped = tiny.with_lora(tiny.model(kind, head), kind).get_base_model()
    states = tiny.states_one_by_one(wrapped, tiny.tokenizer(kind), TEXTS)
    pool = POOL["last" if kind in tiny.DECODERS else "mean"]
    return np.stack([pool(each)[-1].numpy() for each in states])


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_an_adapter_is_put_on_and_changes_the_rows(kind):
    folder, adapter = tiny.folder(kind), tiny.adapter_folder(kind)
    X = HiddenStateEmbedder(folder, adapter=adapter).fit_transform(TEXTS)
    np.testing.assert_allclose(X, last_of_wrapped(kind), atol=1e-5)
    plain = expected(kind, "last" if kind in tiny.DECODERS else "mean")[:, -1]
    assert abs(X - plain).max() > 0.1
    by_itself = HiddenStateEmbedder(adapter).fit_transform(TEXTS)
    np.testing.assert_array_equal(by_itself, X)


def test_a_loaded_adapter_model():
    wrapped = tiny.with_lora(tiny.model("llama"), "llama")
    embedder = HiddenStateEmbedder(wrapped, tokenizer=tiny.tokenizer("llama"))
    X = embedder.fit_transform(TEXTS)
    np.testing.assert_allclose(X, last_of_wrapped("llama"), atol=1e-5)
    with pytest.raises(InvalidInputError, match="model has one already"):
        embedder.set_params(adapter=tiny.adapter_folder("llama")).fit([])


def test_an_adapter_goes_on_a_copy_of_a_loaded_model():
    network = tiny.model("bert")
    names = [name for name, _ in network.named_parameters()]
    embedder = HiddenStateEmbedder(
        network, adapter=tiny.adapter_folder("bert"), tokenizer=tiny.tokenizer("bert")
    )
    X = embedder.fit_transform(TEXTS)
    np.testing.assert_allclose(X, last_of_wrapped("bert"), atol=1e-5)
    assert [name for name, _ in network.named_parameters()] == names


@pytest.mark.parametrize("kind", ["bert", "gpt2", "qwen2"])
def test_a_classifier_in_an_adapter_is_followed(kind):
    """The folder of the base model has no head; the adapter brings it."""
    head = "ForSequenceClassification"
    adapter = tiny.adapter_folder(kind, head, task="SEQ_CLS")
    embedder = HiddenStateEmbedder(adapter).fit(TEXTS)
    assert embedder.pooling_ == ("last" if kind in tiny.DECODERS else "cls")
    wrapped = tiny.with_lora(tiny.model(kind, head), kind, task_type="SEQ_CLS")
    network, words = wrapped.get_base_model(), tiny.tokenizer(kind)
    logits = check_logits(network, kind, words, TEXTS, embedder.transform(TEXTS))
    assert logits.shape == (6, tiny.N_LABELS)


@pytest.mark.parametrize(
    ("kind", "head"), [("gpt2", "LMHeadModel"), ("llama", "ForCausalLM")]
)
@pytest.mark.parametrize("task", ["CAUSAL_LM", None])
def test_an_adapter_of_a_language_model_finds_its_modules(kind, head, task):
    adapter = tiny.adapter_folder(kind, head, task=task)
    X = HiddenStateEmbedder(tiny.folder(kind), adapter=adapter).fit_transform(TEXTS)
    expected = last_of_wrapped(kind, "Model")
    np.testing.assert_allclose(X, expected, atol=1e-5)


N_MORE = 200  # tokens, so that the base model has no rows for them
MORE = ["[new7] film", "good [new150] plot", *TEXTS]
LAYERS = ("embed_tokens", "q_proj")


def adapter_of_more_tokens(kind, head, task, path, **settings):
    """A folder of an adapter that learnt new tokens, and its rows one by one."""
    words, network = tiny.tokenizer(kind), tiny.model(kind, head)
    words.add_tokens([f"[new{i}]" for i in range(N_MORE)])
    network.config.name_or_path = network.name_or_path = tiny.folder(kind, head)
    network.resize_token_embeddings(len(words), mean_resizing=False)
    wrapped = tiny.with_lora(network, kind, task_type=task, **settings)
    wrapped.save_pretrained(path)
    words.save_pretrained(path)
    states = tiny.states_one_by_one(wrapped.get_base_model().base_model, words, MORE)
    pool = POOL["last" if kind in tiny.DECODERS else "mean"]
    return path, np.stack([pool(each)[-1].numpy() for each in states])


@pytest.mark.parametrize(
    ("kind", "head", "task", "settings"),
    [
        *((kind, "Model", None, {}) for kind in ("bert", "roberta", "gpt2", "qwen2")),
        ("llama", "ForCausalLM", "CAUSAL_LM", {}),
        ("llama", "Model", None, {"modules_to_save": ["embed_tokens"]}),
        ("llama", "Model", None, {"target_modules": LAYERS}),
    ],
)
@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
def test_an_adapter_may_bring_new_tokens(kind, head, task, settings, tmp_path):
    adapter, rows = adapter_of_more_tokens(kind, head, task, tmp_path, **settings)
    X = HiddenStateEmbedder(adapter).fit_transform(MORE)
    np.testing.assert_allclose(X, rows, atol=1e-5)
    network = tiny.model(kind, head)
    embedder = HiddenStateEmbedder(network, adapter=adapter)
    np.testing.assert_allclose(embedder.fit_transform(MORE), rows, atol=1e-5)
    assert network.get_input_embeddings().num_embeddings == 160
    words = tiny.tokenizer(kind)  # one that is given is the one that counts
    X = HiddenStateEmbedder(adapter, tokenizer=words).fit_transform(TEXTS)
    np.testing.assert_allclose(X, rows[2:], atol=1e-5)


def test_new_tokens_that_the_adapter_has_no_rows_for(tmp_path):
    words = tiny.tokenizer("bert")
    words.add_tokens([f"[new{i}]" for i in range(N_MORE)])
    words.save_pretrained(copied(tiny.adapter_folder("bert"), tmp_path))
    with pytest.raises(InvalidInputError, match=r"up to 229, .* 160 rows"):
        HiddenStateEmbedder(tmp_path).fit(TEXTS)


def test_a_fresh_adapter_has_no_effect():
    adapter = tiny.adapter_folder("llama", trained=False)
    match = f"{adapter!r} has no effect .* B matrices are all 0, as in a fresh LoRA"
    with pytest.raises(AdapterError, match=match):
        HiddenStateEmbedder(tiny.folder("llama"), adapter=adapter).fit(TEXTS)


def test_an_adapter_of_another_base_model():
    adapter = tiny.adapter_folder("bert")
    match = r"belongs to another base model.* it changes 'encoder.* trained on, '.*bert"
    with pytest.raises(AdapterError, match=match) as caught:
        HiddenStateEmbedder(tiny.folder("gpt2"), adapter=adapter).fit(TEXTS)
    assert "\n" not in str(caught.value)


def test_an_adapter_whose_names_are_those_of_another_head():
    """peft only warns: nothing is loaded, and the rows are those of the base model."""
    adapter = tiny.adapter_folder("llama", "ForCausalLM", task="CAUSAL_LM")
    embedder = HiddenStateEmbedder(
        tiny.model("llama"), adapter=adapter, tokenizer=tiny.tokenizer("llama")
    )
    with pytest.raises(AdapterError, match=r"another head: it changes 'model.layers"):
        embedder.fit(TEXTS)


def test_an_adapter_of_other_shapes(tmp_path):
    wide = tiny.model("bert", hidden_size=24, num_attention_heads=3)
    tiny.with_lora(wide, "bert").save_pretrained(tmp_path)
    match = r"does not fit this base model: size mismatch .* Give the base model that"
    with pytest.raises(AdapterError, match=match) as caught:
        HiddenStateEmbedder(tiny.folder("bert"), adapter=tmp_path).fit(TEXTS)
    assert "\n" not in str(caught.value)


def test_virtual_tokens_are_refused(tmp_path):
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    wrapped = peft.get_peft_model(tiny.model("llama", "ForCausalLM"), config)
    words = tiny.tokenizer("llama")
    with pytest.raises(AdapterError, match="virtual tokens before the text"):
        HiddenStateEmbedder(wrapped, tokenizer=words).fit(TEXTS)
    wrapped.save_pretrained(tmp_path)
    with pytest.raises(AdapterError, match="virtual tokens before the text"):
        HiddenStateEmbedder(tiny.folder("llama"), adapter=tmp_path).fit(TEXTS)


def test_no_such_adapter(tmp_path):
    for adapter, match in [
        (tmp_path, "holds no model that can be loaded: Can't find 'adapter_config"),
        ("/nowhere/at/all", "No folder '/nowhere/at/all' to load"),
        ("nobody/nothing", "No model 'nobody/nothing': it is neither a folder nor"),
    ]:
        with pytest.raises(ModelUnavailableError, match=match):
            HiddenStateEmbedder(tiny.folder("bert"), adapter=adapter).fit(TEXTS)


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("/gone/away/bert", ModelUnavailableError, "No folder '/gone/away/bert'"),
        (None, AdapterError, "does not name its base model .* adapter as adapter="),
    ],
)
def test_an_adapter_whose_base_model_cannot_be_found(tmp_path, name, error, match):
    file = copied(tiny.adapter_folder("bert"), tmp_path) / "adapter_config.json"
    settings = json.loads(file.read_text()) | {"base_model_name_or_path": name}
    file.write_text(json.dumps(settings))
    with pytest.raises(error, match=match):
        HiddenStateEmbedder(tmp_path).fit(TEXTS)
    X = HiddenStateEmbedder(tiny.folder("bert"), adapter=tmp_path).fit_transform(TEXTS)
    np.testing.assert_allclose(X, last_of_wrapped("bert"), atol=1e-5)


def test_an_adapter_without_a_task_may_say_its_class(tmp_path):
    """peft notes it where there is no task; else a task is asked for."""
    adapter = tiny.adapter_folder("llama", "ForCausalLM")
    file = copied(adapter, tmp_path) / "adapter_config.json"
    settings = json.loads(file.read_text())
    assert settings["task_type"] is None
    settings["auto_mapping"] = {"base_model_class": "NoSuch", "parent_library": "os"}
    file.write_text(json.dumps(settings))
    with pytest.raises(AdapterError, match=r"set task_type in adapter_config\.json"):
        HiddenStateEmbedder(tiny.folder("llama"), adapter=tmp_path).fit(TEXTS)
    file.write_text(json.dumps(settings | {"task_type": "CAUSAL_LM"}))
    HiddenStateEmbedder(tiny.folder("llama"), adapter=tmp_path).fit(TEXTS)
