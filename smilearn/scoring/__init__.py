"""From embeddings and labels to scores."""

from smilearn.scoring._batches import RecordBatches
from smilearn.scoring._convergence import SliceConvergence
from smilearn.scoring._scorer import SlicedMIScorer

__all__ = ["RecordBatches", "SliceConvergence", "SlicedMIScorer"]
