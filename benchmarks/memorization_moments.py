"""Four moments of one fine-tune, for ``memorization.py``.

A run is trained anew up to each moment, with the same seed and the same schedule, so
that all of them are moments of one run.
"""

import numpy as np

from smilearn import FineTunedEmbedder, HiddenStateEmbedder

MOMENTS = ("before", "halfway", "early", "later")
LAYERS = [4, 5, 6]


def moments_of(texts, y, training, folder):
    """States, logits and progress of a run at each moment.

    Parameters
    ----------
    texts : list of str
        What the run trains on.

    y : ndarray of shape (n_texts,)
        Labels.

    training : dict
        Parameters of the fine-tune.

    folder : Path
        Where finished moments are kept.

    Returns
    -------
    moments : dict of str to dict
        By name: `X` of shape (n_texts, n_layers, n_features), `epoch`, `reached`
        (whether the rule of the early point held), and, but for the first moment,
        `logits`, and `share_fitted` and `median_loss`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    most = training["max_epochs"]
    found = {"before": kept(folder / "before.npz", lambda: base(texts, training))}

    def at(name, **rule):
        path = folder / f"{name}.npz"
        return kept(path, lambda: trained(texts, y, training | rule))

    found["early"] = at("early", early_point="median-loss")
    epoch = float(found["early"]["epoch"])
    stops = {"halfway": epoch / 2, "later": min(epoch + 1, most)}
    for name, stop in stops.items():
        found[name] = at(name, early_point="epochs", stop_epoch=stop)
    return found


def kept(path, compute):
    """Arrays in a file; computed where it is not there."""
    if not path.exists():
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez(file, **compute())
        unfinished.replace(path)
        print(f"{path.parent.name} half, {path.stem}: finished", flush=True)
    with np.load(path) as file:
        return dict(file)


def base(texts, training):
    embedder = HiddenStateEmbedder(
        training["model"],
        layer=LAYERS,
        max_length=training["max_length"],
        device=training["device"],
    )
    return {"X": embedder.fit_transform(texts), "epoch": 0.0, "reached": True}


def trained(texts, y, parameters):
    tuned = FineTunedEmbedder(**parameters).fit(texts, y)
    states = HiddenStateEmbedder(
        tuned.backbone_,
        tokenizer=tuned.tokenizer_,
        layer=LAYERS,
        max_length=parameters["max_length"],
    )
    last = tuned.history_[-1]
    return {
        "X": states.fit_transform(texts),
        "logits": tuned.logits_,
        "epoch": last["epoch"],
        "reached": tuned.early_point_reached_,
        "share_fitted": last["share_fitted"],
        "median_loss": last["median_loss"],
    }
