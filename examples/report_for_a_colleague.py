"""
A report for a colleague without Python
=======================================

The report is one file that opens anywhere. It shows what stands out, in which classes,
and the riskiest samples, and exports a review as a CSV file.
"""

import tempfile
from pathlib import Path

from smilearn import HiddenStateEmbedder, SlicedMIScorer
from smilearn.datasets import flip_labels, load_rotten_tomatoes, packaged_minilm
from smilearn.report import RiskDisplay

reviews = load_rotten_tomatoes(1000, random_state=0)
labels, _ = flip_labels(reviews.labels, 0.03, random_state=0)
labels = [reviews.target_names[label] for label in labels]
embedder = HiddenStateEmbedder(packaged_minilm(), layer="spread")
X = embedder.fit_transform(reviews.texts)
scorer = SlicedMIScorer(random_state=0).fit(X, labels)
RiskDisplay.from_estimator(scorer)

# %%
# In a notebook, a table shows its riskiest samples.
table = scorer.to_table(texts=reviews.texts)
table

# %%
# The page shows the nearest text of the given and of the likelier label.
with tempfile.TemporaryDirectory() as folder:
    page = table.to_html(
        Path(folder) / "report.html", facts={"Data": "film reviews"}, embeddings=X
    )
    print(f"{page.stat().st_size / 1e6:.1f} MB")
