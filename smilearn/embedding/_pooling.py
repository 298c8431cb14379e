"""Pooling: from the hidden states of tokens to one vector a text."""

from contextlib import ExitStack

import numpy as np
import torch

from smilearn.exceptions import InvalidInputError


def mean_tokens(hidden, mask):
    """Mean over real tokens, in float32; (B, T, d) and (B, T) to (B, d)."""
    weight = mask[..., None].float()
    return (hidden.float() * weight).sum(1) / weight.sum(1).clamp_min(1)


def first_token(hidden, mask):
    """Take the first real token, CLS where there is one; (B, T, d) to (B, d)."""
    return _tokens_at(hidden, mask.argmax(1))


def last_token(hidden, mask):
    """Take the last real token, on whichever side padding is; (B, T, d) to (B, d)."""
    return _tokens_at(hidden, mask.shape[1] - 1 - mask.flip(1).argmax(1))


def _tokens_at(hidden, places):
    return hidden[torch.arange(len(hidden), device=hidden.device), places]


def mask_of_head(tokens, mask, pad_id):
    """Leave out what the head of a decoder takes for padding: each pad token."""
    if pad_id is None:
        return mask
    kept = mask.bool() & (tokens != pad_id).to(mask.device)
    kept[:, 0] |= ~kept.any(1)
    return kept.to(mask.dtype)


POOLINGS = {"mean": mean_tokens, "cls": first_token, "last": last_token}


def pool(pooling, hidden, mask):
    mask = mask.to(hidden.device).int()  # a model may be spread over several
    pooled = POOLINGS.get(pooling, pooling)(hidden, mask)
    shape = getattr(pooled, "shape", None)
    if not torch.is_tensor(pooled) or len(shape) != 2 or len(pooled) != len(hidden):
        got = f"shape {tuple(shape)}" if shape is not None else repr(pooled)
        raise InvalidInputError(
            "pooling must turn hidden states (n_texts, n_tokens, n_features) and a "
            f"mask (n_texts, n_tokens) into a tensor (n_texts, n_features); got {got}."
        )
    return pooled.float()


_CLASSIFIER = "ForSequenceClassification"
_PROBE_LENGTHS = (9, 6)  # tokens


def has_head(network):
    return type(network).__name__.endswith(_CLASSIFIER)


def names_head(config):
    """Tell whether a config was saved with a sequence classifier."""
    return any(name.endswith(_CLASSIFIER) for name in config.architectures or ())


def probe(tokenizer, config, max_length):
    """Random tokens, the same in each session; no text is empty or all alike."""
    known = min(len(tokenizer), config.get_text_config().vocab_size)
    special = set(tokenizer.all_special_ids)
    ordinary = [token for token in range(known) if token not in special]
    rng, texts = np.random.default_rng(0), []
    for length in _PROBE_LENGTHS:
        text = rng.choice(ordinary or [0], length, replace=len(ordinary) < length)
        texts.append(text[:max_length].tolist())
    return texts


@torch.inference_mode()
def pooling_of_head(network, input_ids, name, *, causal):
    device = next(network.parameters()).device
    pad_id = _pad_token(network.config)
    ways = [("cls", None), ("mean", None), ("last", None)]
    if pad_id is not None:
        input_ids = [*input_ids, [*input_ids[0][:-1], pad_id]]
        ways.append(("last", pad_id))
    texts = [torch.tensor([tokens], device=device) for tokens in input_ids]
    for pooling, passed_over in reversed(ways) if causal else ways:
        if all(_reads(network, tokens, pooling, passed_over) for tokens in texts):
            return pooling, passed_over
    raise InvalidInputError(
        f"The logits of {name} cannot be had from its first token, the last one or the "
        'mean of all, so pooling="auto" has nothing to follow. Name the pooling: '
        f"{'last' if causal else 'mean'!r}, another of {sorted(POOLINGS)}, or a "
        "function of your own."
    )


def _pad_token(config):
    """The pad token of a model; None where no text can hold it."""
    config = config.get_text_config()
    pad_id = getattr(config, "pad_token_id", None)
    return pad_id if pad_id in range(config.vocab_size) else None


def _reads(network, tokens, pooling, pad_id):
    """Whether the head needs no more than what is pooled from one unpadded text."""
    mask = torch.ones_like(tokens)
    states = []
    with network.base_model.register_forward_hook(
        lambda module, args, output: states.append(output.last_hidden_state)
    ):
        logits = network(input_ids=tokens, attention_mask=mask).logits
    read = mask_of_head(tokens, mask, pad_id)
    pooled = pool(pooling, states[0], read).to(states[0].dtype)
    again = _logits_from(network, tokens, mask, pooled)
    most = 2e-2 if logits.dtype.itemsize == 2 else 1e-3  # of the largest logit
    return bool((again - logits).abs().max() <= most * logits.abs().max())


def _logits_from(network, tokens, mask, pooled):
    """Logits of a model whose last hidden states are all one vector."""
    base = network.base_model

    def replace_output(module, args, output):
        output.last_hidden_state = pooled[:, None].expand_as(output.last_hidden_state)
        return output

    def replace_input(module, args):
        wide = pooled if args[0].ndim == 2 else pooled[:, None]
        return (wide.expand_as(args[0]), *args[1:])

    with ExitStack() as hooks:
        hooks.enter_context(base.register_forward_hook(replace_output))
        if getattr(base, "pooler", None) is not None:
            hooks.enter_context(base.pooler.register_forward_pre_hook(replace_input))
        return network(input_ids=tokens, attention_mask=mask).logits
