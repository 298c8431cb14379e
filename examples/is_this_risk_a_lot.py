"""
How many labels are wrong at each probability?
==============================================

Two thousand film reviews, 60 of them with a wrong label, are scored before any
training. We bin the samples by the probability of their label, predicted from all other
samples, and count the flipped labels in each bin.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

from smilearn import HiddenStateEmbedder, SlicedMIScorer
from smilearn.datasets import flip_labels, load_rotten_tomatoes, packaged_minilm

# %%
# Scores from three layers of the base model.
reviews = load_rotten_tomatoes(2000, random_state=0)
labels, flipped = flip_labels(reviews.labels, 0.03, random_state=0)
embedder = HiddenStateEmbedder(packaged_minilm(), layer="spread")
scorer = SlicedMIScorer(random_state=0).fit(
    embedder.fit_transform(reviews.texts), labels
)

# %%
# The share of flipped labels in each bin.
edges = np.array([0, 0.05, 0.2, 0.5, 0.8, 0.95, 1])
place = np.digitize(scorer.probability_, edges[1:-1])
share = [flipped[place == each].mean() for each in range(len(edges) - 1)]
count = np.bincount(place, minlength=len(edges) - 1)
names = [f"{a:.0%} to {b:.0%}" for a, b in pairwise(edges)]
_, ax = plt.subplots(layout="constrained")
bars = ax.bar(names, share)
ax.bar_label(bars, [f"{n} samples" for n in count])
ax.set(xlabel="probability of the label by all others", ylabel="share flipped")

# %%
# The same in numbers, for labels that the other samples make improbable.
low = scorer.probability_ < 0.2
print(f"{low.sum()} labels have a probability below 20 %;")
print(f"{(1 - scorer.probability_[low]).sum():.0f} of them the others would not give;")
print(f"{flipped[low].sum()} of the {flipped.sum()} flips are among them.")
