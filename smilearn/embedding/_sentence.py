"""Texts to embeddings, before any fine-tuning."""

import os
from numbers import Integral
from typing import ClassVar

from smilearn.embedding._base import TextEmbedder
from smilearn.embedding._pretrained import DEFAULT_MODEL
from smilearn.embedding._sentence_reader import SentenceReader
from smilearn.utils._sklearn_compat import Interval, StrOptions


class SentenceEmbedder(TextEmbedder):
    """Embed texts with a pretrained sentence-transformers model, as it comes.

    Nothing is trained: the embeddings are those of the base model, ready in seconds.
    Scores made from them foretell memorization before any fine-tuning.

    Parameters
    ----------
    model : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        A folder or a name on the Hugging Face Hub. The default is read from the package
        of the extra ``demo``, without a network, where that is installed.

    batch_size : int, default=32
        Texts in a forward pass. Texts are sorted by their number of tokens first.

    normalize : bool, default=False
        Whether to scale each embedding to unit length. Some models do so by themselves.

    device : str or list of str, default="auto"
        Torch device; "auto" takes cuda, mps or cpu. Of a list each has a process of its
        own; a script then needs ``if __name__ == "__main__"``.

    backend : {"torch", "openvino"}, default="torch"
        What runs the model. "openvino", of the extra of that name, compiles it for the
        CPU at the first batch, of any shape; what it cannot run is left to torch.

    prompt : str, default=None
        Put before each text, as some models expect. None takes the model's own default,
        if it has one.

    prompt_name : str, default=None
        Name of a prompt that the model brings, in place of `prompt`.

    truncate_dim : int, default=None
        Features to keep of an embedding, the first ones; for models trained so that
        these are of use alone. Done before normalizing.

    cache_folder : str or path-like, default=None
        Folder in which embeddings are kept and found again, whatever the order of the
        texts: in each fold, after a restart or a kill half-way, by several processes at
        once. They belong to the content of a text and to the weights and settings of
        the model. Delete the folder to free its space.

    local_files_only : bool, default=False
        Whether to ask the Hugging Face Hub for nothing.

    revision : str, default=None
        Branch, tag or commit of the model on the Hub.

    trust_remote_code : bool, default=False
        Whether code that comes with the model may run.

    verbose : int or bool, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    n_features_out_ : int
        Length of an embedding.

    n_truncated_ : int
        Texts of the last :meth:`transform` that were longer than the model reads.

    Notes
    -----
    A pickle holds no weights; the model is loaded again from where it came when it is
    next needed.

    References
    ----------
    .. [1] N. Reimers, I. Gurevych, "Sentence-BERT: sentence embeddings using Siamese
       BERT-networks", EMNLP, 2019.

    Examples
    --------
    >>> from smilearn import SentenceEmbedder
    >>> from smilearn.datasets import packaged_minilm
    >>> embedder = SentenceEmbedder(packaged_minilm())
    >>> embedder.fit_transform(["a gripping film", "dull"]).shape
    (2, 384)
    """

    _make_reader = SentenceReader
    _parameter_constraints: ClassVar[dict] = {
        "model": [str, os.PathLike],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "normalize": ["boolean"],
        "device": [str, list],
        "backend": [StrOptions({"torch", "openvino"})],
        "prompt": [str, None],
        "prompt_name": [str, None],
        "truncate_dim": [Interval(Integral, 1, None, closed="left"), None],
        "cache_folder": [str, os.PathLike, None],
        "local_files_only": ["boolean"],
        "revision": [str, None],
        "trust_remote_code": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model=DEFAULT_MODEL,
        *,
        batch_size=32,
        normalize=False,
        device="auto",
        backend="torch",
        prompt=None,
        prompt_name=None,
        truncate_dim=None,
        cache_folder=None,
        local_files_only=False,
        revision=None,
        trust_remote_code=False,
        verbose=0,
    ):
        self.model = model
        self.batch_size = batch_size
        self.normalize = normalize
        self.device = device
        self.backend = backend
        self.prompt = prompt
        self.prompt_name = prompt_name
        self.truncate_dim = truncate_dim
        self.cache_folder = cache_folder
        self.local_files_only = local_files_only
        self.revision = revision
        self.trust_remote_code = trust_remote_code
        self.verbose = verbose
