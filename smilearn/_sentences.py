"""A sentence-transformers model: loaded, prompted, at work on devices (floor 3)."""

import contextlib

import numpy as np

from smilearn._devices import resolve_device
from smilearn._pretrained import load_pretrained, quiet_transformers
from smilearn.exceptions import InvalidInputError

_TOKENIZED_AT_ONCE = 4096  # texts
_SPARE = 8  # tokens that a tokenizer may add to a text by itself


def load_sentence_encoder(model, device, **options):
    """Load a model to a device, or to the host if it is to work on several.

    Parameters
    ----------
    model : str or path-like
        A folder, or a name on the Hugging Face Hub.

    device : str or list of str
        Devices, as a user names them.

    **options : dict
        Handed to the library.

    Returns
    -------
    encoder : SentenceTransformer
        The model.

    Raises
    ------
    InvalidInputError
        If there is no such device.

    ModelUnavailableError
        If the model cannot be loaded.
    """
    from sentence_transformers import SentenceTransformer

    devices = resolved_devices(device)
    place = devices if isinstance(devices, str) else "cpu"
    with quiet_transformers():
        return load_pretrained(SentenceTransformer, model, device=place, **options)


def resolved_devices(device):
    """Turn a device, or each of a list, into one that this machine has.

    Parameters
    ----------
    device : str or list of str
        Devices, as a user names them.

    Returns
    -------
    devices : str or list of str
        Devices.

    Raises
    ------
    InvalidInputError
        If there is no such device, or the list is empty.
    """
    if isinstance(device, str):
        return str(resolve_device(device))
    if not device:
        raise InvalidInputError("device is an empty list; name a device, or more.")
    return [str(resolve_device(each)) for each in device]


def prompt_text(encoder, prompt, prompt_name):
    """Find what is put before each text.

    Parameters
    ----------
    encoder : SentenceTransformer
        Has prompts of its own, by name, and perhaps a default one.

    prompt, prompt_name : str or None
        As a user gives them.

    Returns
    -------
    prompt : str or None
        None where nothing is.

    Raises
    ------
    InvalidInputError
        If both are given, or the model has no prompt of this name.
    """
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
    """Count the features of an embedding.

    Parameters
    ----------
    encoder : SentenceTransformer
        The model.

    truncate_dim : int or None
        Features to keep; None keeps all.

    Returns
    -------
    n_features : int
        Features.

    Raises
    ------
    InvalidInputError
        If the model has fewer than are to be kept.
    """
    n_features = int(encoder.get_embedding_dimension())
    if truncate_dim is not None and truncate_dim > n_features:
        raise InvalidInputError(
            f"truncate_dim={truncate_dim} is more than the {n_features} features of an "
            "embedding of this model. Give a smaller one, or None."
        )
    return truncate_dim or n_features


@contextlib.contextmanager
def workers(encoder, device):
    """Start a process for each of several devices.

    Parameters
    ----------
    encoder : SentenceTransformer
        The model.

    device : str or list of str
        Devices, as a user names them.

    Yields
    ------
    options : dict
        For ``encoder.encode``; empty where there is one device.
    """
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
    """Find the texts that are longer than a model reads.

    Parameters
    ----------
    encoder : SentenceTransformer
        The model.

    texts : list of str
        Texts.

    prompt : str or None
        What is put before each.

    Returns
    -------
    places : ndarray of shape (n_truncated,)
        Their places.
    """
    most, prompt = encoder.max_seq_length, prompt or ""
    if most is None or not np.isfinite(most):
        return np.empty(0, int)
    # a token of plain ASCII is a character or more: short texts need no tokenizer
    short = most - len(prompt) - _SPARE
    long = [
        place
        for place, text in enumerate(texts)
        if len(text) > short or not (text.isascii() and prompt.isascii())
    ]
    cut = []
    for begin in range(0, len(long), _TOKENIZED_AT_ONCE):
        few = long[begin : begin + _TOKENIZED_AT_ONCE]
        whole = [prompt + texts[place] for place in few]
        tokens = encoder.tokenizer(whole, truncation=False, verbose=False)["input_ids"]
        cut += [
            place for place, its in zip(few, tokens, strict=True) if len(its) > most
        ]
    return np.array(cut, int)
