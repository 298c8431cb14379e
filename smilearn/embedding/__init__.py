"""From texts to embeddings, with models as they are, and their cache."""

from smilearn.embedding._cache import RowCache, clear_cache, limit_cache
from smilearn.embedding._hidden_states import HiddenStateEmbedder
from smilearn.embedding._layers import LayerSelector
from smilearn.embedding._sentence import SentenceEmbedder

__all__ = [
    "HiddenStateEmbedder",
    "LayerSelector",
    "RowCache",
    "SentenceEmbedder",
    "clear_cache",
    "limit_cache",
]
