"""Which training samples will a fine-tuned text classifier memorize?

Everything public is named in ``__all__`` and loaded when it is first used, so that
``import smilearn`` loads neither torch nor transformers.
"""

from importlib import import_module
from importlib.metadata import version

_HOMES = {
    "EarlyPointMonitor": "finetuning",
    "FilteredEstimator": "filtering",
    "FineTunedClassifier": "finetuning",
    "FineTunedEmbedder": "finetuning",
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
    "audit_filter": "audit",
    "baselines": "",
    "batches": "",
    "caching": "",
    "compare_scorers": "audit",
    "datalab": "",
    "datasets": "",
    "exceptions": "",
    "metrics": "",
    "model_selection": "",
    "score_samples": "filtering",
}
__all__ = [
    "EarlyPointMonitor",
    "FilteredEstimator",
    "FineTunedClassifier",
    "FineTunedEmbedder",
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
    "audit_filter",
    "baselines",
    "batches",
    "caching",
    "compare_scorers",
    "datalab",
    "datasets",
    "exceptions",
    "metrics",
    "model_selection",
    "score_samples",
]
__version__ = version("smilearn")


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'smilearn' has no attribute {name!r}")
    if not _HOMES[name]:
        return import_module(f"smilearn.{name}")
    return getattr(import_module(f"smilearn.{_HOMES[name]}"), name)


def __dir__():
    return sorted({*globals(), *__all__})
