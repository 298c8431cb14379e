"""Which training samples will a fine-tuned text classifier memorize?

Everything public is named in ``__all__`` and loaded when it is first used, so that
``import smilearn`` loads neither torch nor transformers.
"""

from importlib import import_module
from importlib.metadata import version

_ROOMS = {
    "EarlyPointMonitor": "finetuning",
    "FilteredEstimator": "filtering",
    "FineTunedClassifier": "finetuning",
    "FineTunedEmbedder": "finetuning",
    "HeldOutScorer": "finetuning",
    "HiddenStateEmbedder": "embedding",
    "LayerSelector": "embedding",
    "MemorizationCallback": "finetuning",
    "RiskFilter": "filtering",
    "RiskReweighter": "filtering",
    "RiskTable": "tables",
    "SentenceEmbedder": "embedding",
    "ShadowAudit": "audit",
    "SliceConvergence": "scoring",
    "SlicedMIScorer": "scoring",
    "audit_protection": "audit",
    "compare_scorers": "audit",
    "score_samples": "filtering",
}
__all__ = [
    "EarlyPointMonitor",
    "FilteredEstimator",
    "FineTunedClassifier",
    "FineTunedEmbedder",
    "HeldOutScorer",
    "HiddenStateEmbedder",
    "LayerSelector",
    "MemorizationCallback",
    "RiskFilter",
    "RiskReweighter",
    "RiskTable",
    "SentenceEmbedder",
    "ShadowAudit",
    "SliceConvergence",
    "SlicedMIScorer",
    "audit",
    "audit_protection",
    "baselines",
    "compare_scorers",
    "datalab",
    "embedding",
    "exceptions",
    "filtering",
    "finetuning",
    "metrics",
    "report",
    "score_samples",
    "scoring",
    "tables",
]
__version__ = version("smilearn")


def __getattr__(name):
    if name in _ROOMS:
        return getattr(import_module(f"smilearn.{_ROOMS[name]}"), name)
    if name in __all__ or name == "datasets":  # which a * import would shadow
        return import_module(f"smilearn.{name}")
    raise AttributeError(f"module 'smilearn' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, "datasets"})
