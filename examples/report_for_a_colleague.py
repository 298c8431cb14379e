"""
A report for a colleague without Python
=======================================

One file that opens anywhere: what stands out, which classes, the riskiest samples, and
a review that comes back as a CSV file.
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
# In a notebook a table shows its riskiest samples.
table = scorer.to_table(texts=reviews.texts)
table

# %%
# The page, with the nearest text of either label beside each sample.
with tempfile.TemporaryDirectory() as folder:
    page = table.to_html(
        Path(folder) / "report.html", facts={"Data": "film reviews"}, embeddings=X
    )
    print(f"{page.stat().st_size / 1e6:.1f} MB")
