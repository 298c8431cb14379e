"""Fine-tuning up to the early point: two estimators, a Trainer callback, a monitor."""

from smilearn.finetuning._callback import MemorizationCallback
from smilearn.finetuning._classifier import FineTunedClassifier
from smilearn.finetuning._embedder import FineTunedEmbedder
from smilearn.finetuning._held_out import HeldOutScorer
from smilearn.finetuning._monitor import EarlyPointMonitor

__all__ = [
    "EarlyPointMonitor",
    "FineTunedClassifier",
    "FineTunedEmbedder",
    "HeldOutScorer",
    "MemorizationCallback",
]
