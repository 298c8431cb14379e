"""A sentence-transformers model: loaded, prompted, at work on devices."""

import contextlib
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tqdm import tqdm

from smilearn.embedding._pretrained import (
    check_complete,
    check_finite,
    load_pretrained,
    load_weights,
    quiet_transformers,
    refuse_pickles,
)
from smilearn.embedding._tokens import (
    check_rows,
    check_words,
    embedding_rows,
    unread,
)
from smilearn.exceptions import InvalidInputError, ModelUnavailableError
from smilearn.utils._devices import resolve_device
from smilearn.utils._texts import warn_unread

_CHUNK = 32  # batches that are given together
_TOKENIZED_AT_ONCE = 4096  # texts
_SPARE = 8  # tokens that a tokenizer may add to a text by itself


def load_sentence_encoder(model, device, **options):
    """Load a model to a device, or to the host if it is to work on several."""
    from sentence_transformers import SentenceTransformer

    refuse_pickles(model, "", *_module_folders(model))
    safe = {"model_kwargs": {"use_safetensors": True}}
    devices = resolved_devices(device)
    place = devices if isinstance(devices, str) else "cpu"
    with quiet_transformers():
        options["device"] = place
        encoder = load_pretrained(SentenceTransformer, model, **safe, **options)
        check_complete(model, _missing_weights(encoder, model, options))
    check_finite(model, encoder)
    if _has_words(encoder):
        check_words(encoder.tokenizer, model)
        check_rows(encoder.tokenizer, _network(encoder), model)
    return encoder


def _module_folders(model):
    """Folders of the modules inside that of a model."""
    listed = Path(model, "modules.json")
    if not listed.is_file():
        return []
    return [each["path"] for each in json.loads(listed.read_text(encoding="utf-8"))]


def _network(encoder):
    """The transformer of an encoder, None if it has none."""
    from transformers import PreTrainedModel

    networks = (each for each in encoder.modules() if isinstance(each, PreTrainedModel))
    return next(networks, None)


def _has_words(encoder):
    """Whether a transformer reads texts by a tokenizer of transformers."""
    from transformers import PreTrainedTokenizerBase

    words = isinstance(encoder.tokenizer, PreTrainedTokenizerBase)
    return words and _network(encoder) is not None


def _missing_weights(encoder, model, options):
    """Names of the weights that the library made up, by loading the names again."""
    from transformers import MODEL_MAPPING, AutoModel

    network = _network(encoder)
    if network is None or hasattr(network, "peft_config"):
        return ()
    if MODEL_MAPPING.get(type(network.config), None) is not type(network):
        return ()  # such as the encoder of a T5: other weights than AutoModel's
    given = {key: options[key] for key in options if options[key] is not None}
    del given["device"]
    if find_spec("accelerate"):
        given["device_map"] = "meta"  # reads no weights
    try:
        loading = load_weights(AutoModel.from_pretrained, model, **given)[1]
    except ModelUnavailableError:
        return ()  # it is loaded, so it lies in a folder inside this one
    return loading["missing_keys"]


def resolved_devices(device):
    """Turn a device, or each of a list, into one that this machine has."""
    if isinstance(device, str):
        return str(resolve_device(device))
    if not device:
        raise InvalidInputError("device is an empty list; name a device, or more.")
    return [str(resolve_device(each)) for each in device]


def prompt_text(encoder, prompt, prompt_name):
    """Find what is put before each text."""
    prompts = encoder.prompts
    if prompt_name is None:
        return prompts.get(encoder.default_prompt_name) if prompt is None else prompt
    if prompt is not None:
        raise InvalidInputError("Give prompt or prompt_name, not both.")
    if prompt_name not in prompts:
        raise InvalidInputError(
            f"prompt_name={prompt_name!r} is none of the model's prompts, "
            f"{sorted(prompts)}. Name one of them, or give the text as prompt."
        )
    return prompts[prompt_name]


def kept_features(encoder, truncate_dim):
    """Count the features of an embedding."""
    n_features = int(encoder.get_embedding_dimension())
    if truncate_dim is not None and truncate_dim > n_features:
        raise InvalidInputError(
            f"truncate_dim={truncate_dim} is more than the {n_features} features of an "
            "embedding of this model. Give a smaller one, or None."
        )
    return truncate_dim or n_features


@contextlib.contextmanager
def workers(encoder, device):
    """Start a process for each of several devices."""
    devices = resolved_devices(device)
    if isinstance(devices, str):
        yield {}
        return
    pool = encoder.start_multi_process_pool(devices)
    try:
        yield {"pool": pool}
    finally:
        encoder.stop_multi_process_pool(pool)


def truncated_texts(encoder, texts, prompt):
    """Find the texts that are longer than a model reads."""
    most, prompt = encoder.max_seq_length, prompt or ""
    if most is None or not np.isfinite(most) or not callable(encoder.tokenizer):
        return np.empty(0, int)
    # a token of plain ASCII is a character or more: short texts need no tokenizer
    short = most - len(prompt) - _SPARE
    long = [
        place
        for place, text in enumerate(texts)
        if len(text) > short or not (text.isascii() and prompt.isascii())
    ]
    counts = _token_counts(encoder, [prompt + texts[place] for place in long])
    return np.array(long, int)[counts > most]


def encode_chunks(encoder, texts, device, *, batch_size, verbose, **options):
    """Encode texts in batches of like numbers of tokens, the longest first."""
    if callable(encoder.tokenizer):
        order = np.argsort(-_token_counts(encoder, texts, look=True), kind="stable")
    else:
        order = np.argsort([-len(text) for text in texts], kind="stable")
    with (
        workers(encoder, device) as pool,
        tqdm(total=len(texts), unit=" texts", disable=not verbose) as bar,
    ):
        step = _CHUNK * batch_size * (len(device) if pool else 1)
        for begin in range(0, len(order), step):
            chunk, rows = order[begin : begin + step], []
            for some in [chunk] if pool else _cut(chunk, batch_size):
                some_texts = [texts[place] for place in some]
                given = {"batch_size": batch_size, "show_progress_bar": False}
                rows.append(encoder.encode(some_texts, **given, **options, **pool))
                bar.update(len(some))
            yield chunk, np.concatenate(rows).astype(np.float32, copy=False)


def _token_counts(encoder, texts, look=False):
    """Count the tokens of texts, and look for texts that the tokenizer cannot read."""
    tokenizer, counts, n_unread = encoder.tokenizer, [], 0
    look = look and _has_words(encoder)
    n_rows = embedding_rows(_network(encoder)) if look else None
    for few in _cut(texts, _TOKENIZED_AT_ONCE):
        input_ids = tokenizer(few, truncation=False, verbose=False)["input_ids"]
        counts += [len(tokens) for tokens in input_ids]
        if look:
            n_unread += int(unread(few, input_ids, tokenizer, n_rows).sum())
    warn_unread(n_unread, len(texts))
    return np.array(counts, int)


def _cut(items, size):
    return [items[begin : begin + size] for begin in range(0, len(items), size)]
