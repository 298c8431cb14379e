"""
Which layer? What held-out labels can tell, and what not
========================================================

A thousand film reviews, 3 % of them with a wrong label, pass through MiniLM once, and
the hidden states of all layers are kept. A search chooses the layer with the largest
mean log probability of held-out labels, which needs no ground truth. In practice the
flipped labels are unknown; here they show that the layer that predicts labels best is
not the one that finds wrong labels best.
"""

import matplotlib.pyplot as plt
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from smilearn import HiddenStateEmbedder, LayerSelector, SlicedMIScorer
from smilearn.datasets import flip_labels, load_rotten_tomatoes, packaged_minilm

# %%
# One forward pass, seven layers (0 is the embeddings).
reviews = load_rotten_tomatoes(1000, random_state=0)
labels, flipped = flip_labels(reviews.labels, 0.03, random_state=0)
states = HiddenStateEmbedder(packaged_minilm(), layer="all").fit_transform(
    reviews.texts
)
print("hidden states:", states.shape)

# %%
# The mean log probability of held-out labels for each layer, without ground truth.
steps = make_pipeline(LayerSelector(), SlicedMIScorer(512, random_state=0))
layers = list(range(states.shape[1]))
search = GridSearchCV(steps, {"layerselector__layer": layers}, cv=5)
search.fit(states, labels)

# %%
# How well does each layer find the flipped labels?
print("layer  log prob  AUC of the flips")
aucs = []
for layer, score in zip(layers, search.cv_results_["mean_test_score"], strict=True):
    scorer = steps[-1].fit(states[:, layer], labels)
    auc = roc_auc_score(flipped, -scorer.scores_)
    aucs.append(auc)
    print(f"{layer:5}  {score:8.3f}  {auc:.3f}")
print("chosen:", search.best_params_["layerselector__layer"])

# %%
# The last layer has the best log probability and finds the fewest flipped labels.
# Three layers side by side, ``layer="spread"``, are the safer choice before training.
spread = HiddenStateEmbedder(packaged_minilm(), layer="spread")
scorer = steps[-1].fit(spread.fit_transform(reviews.texts), labels)
print(f"three layers side by side: {roc_auc_score(flipped, -scorer.scores_):.3f}")

_, ax = plt.subplots(layout="constrained")
ax.plot(layers, search.cv_results_["mean_test_score"], marker="o")
ax.set(xlabel="layer", ylabel="mean log probability of held-out labels (nats, blue)")
right = ax.twinx()
right.plot(layers, aucs, marker="s", color="tab:orange")
right.set_ylabel("AUC of the flips (orange)")
