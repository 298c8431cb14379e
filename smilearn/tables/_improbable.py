"""Which labels look wrong: a filter removes them unasked, and a report counts them."""

LEAST_PROBABILITY = 0.05


def improbable(frame):
    """Labels of a polars frame that are improbable, where another one is likelier."""
    low = frame["probability"].to_numpy() < LEAST_PROBABILITY
    if "most_likely_label" not in frame.columns:
        return low
    return low & (frame["most_likely_label"] != frame["label"]).to_numpy()
