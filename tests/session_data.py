"""Files that the golden sessions of the command line work with."""

from pathlib import Path

import numpy as np
import pandas as pd

from smilearn import RiskTable
from smilearn.datasets import flip_labels, load_rotten_tomatoes

LABELS = ["ham", "spam"] * 6
SCORE = [0.5, -1.25, 0.25, 0.75, -0.5, 0.625, 0.125, -0.125, -2.5, 0.375, 1.5, 0.3125]
KEYS = [f"{i:02d}" for i in range(12)]
ODD_ROWS = (
    b'\xef\xbb\xbfkey,text,label,"odd, name"\r\n'
    b'01,"say ""no"", or",ham,1e5\r\n'
    b'02,"two\nlines",spam,\r\n'
    b"3,'gone',\"spam\",007\r\n"
    b"4.0, na\xc3\xafve \xe6\x98\xa0\xe7\x94\xbb ,ham,NA\r\n"
    b"5,last,spam,-0.0"
)


def write_data():
    """Write data, risk tables of them, embeddings, and files that are wrong."""
    texts = [f"the {'bad' if i % 2 else 'good'} film no. {i}" for i in range(12)]
    data = pd.DataFrame({"key": KEYS, "text": texts, "label": LABELS})
    write_frame(data, "data.csv", "data.jsonl", "data.parquet")
    write_frame(data[::-1], "reversed.jsonl")
    typed = {"whole": range(12), "real": np.arange(12) / 4, "yes": [True, False] * 6}
    write_frame(data.assign(**typed), "typed.parquet")
    Path("odd.csv").write_bytes(ODD_ROWS)
    odd_labels = ["ham", "spam", "spam", "ham", "spam"]
    RiskTable([0.5, 0.25, -1, -0.25, 2], odd_labels).to_csv("odd_risk.csv")
    likely = ["ham" if i in (1, 7) else label for i, label in enumerate(LABELS)]
    more = {"probability": np.arange(1, 13) / 16, "psmi": np.divide(SCORE, 2)}
    risk = RiskTable(SCORE, LABELS, text=texts, most_likely_label=likely, **more)
    risk.to_csv("risk.csv")
    RiskTable(SCORE, LABELS, id=KEYS).to_jsonl("keyed.jsonl")
    RiskTable(np.roll(SCORE, 3), LABELS, text=texts).to_parquet("other.parquet")
    RiskTable(np.arange(5_000), ["x"] * 5_000).to_jsonl("many.jsonl")
    rng = np.random.default_rng(0)
    np.save("X.npy", rng.normal(size=(12, 3)) + np.eye(3)[[0, 1] * 6])
    reviews = load_rotten_tomatoes(40, random_state=0)
    codes, _ = flip_labels(reviews.labels, 0.1, random_state=0)
    label = np.array(reviews.target_names)[codes]
    write_frame(pd.DataFrame({"text": reviews.texts, "label": label}), "reviews.csv")
    write_mistakes(data)


def write_frame(frame, *paths):
    """Write a frame in the formats that the suffixes name."""
    for path in paths:
        if path.endswith("csv"):
            frame.to_csv(path, index=False)
        elif path.endswith("jsonl"):
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_parquet(path, index=False)


def write_mistakes(data):
    """Write files that are wrong in one way each."""
    Path("folder.csv").mkdir()
    Path("latin.csv").write_bytes("text,label\ncafé,ham\n".encode("latin-1"))
    Path("empty.csv").touch()
    Path("empty.jsonl").touch()
    Path("header.csv").write_text("key,text,label\n")
    Path("bad.jsonl").write_text('{"text": "a", "label": "ham"}\n{"text"\n')
    Path("ragged.csv").write_text("text,label\na,ham\nb,spam,more\n")
    Path("data.txt").write_text("text\n")
    Path("not.parquet").write_text("text\n")
    write_frame(data.assign(text=["", *data["text"][1:]]), "gap.csv")
    write_frame(data.assign(label=[None, None, *LABELS[2:]]), "no_label.jsonl")
    write_frame(data.assign(label=np.arange(12) / 8), "fraction.jsonl")
    write_frame(data.assign(label="ham"), "one_class.csv")
    write_frame(data.assign(key=[*KEYS[:11], "00"]), "twice.csv")
    write_frame(data.assign(label=LABELS[::-1]), "other_labels.csv")
    write_frame(data[:11], "short.csv")
    write_frame(data.assign(key=[*KEYS[:11], "new"]), "new_key.csv")
    np.save("short.npy", np.ones((11, 3)))
    np.save("flat.npy", np.ones(12))
    np.save("words.npy", np.array([["a"]] * 12))
    np.save("nan.npy", np.where(np.eye(12, 3), np.nan, 1.0))
    RiskTable(SCORE[:11], LABELS[:11]).to_csv("short_risk.csv")
    risk = pd.DataFrame({"id": range(12), "label": LABELS, "risk": SCORE})
    write_frame(risk.assign(id=[*range(11), 0]), "twice_risk.csv")
    write_frame(risk.assign(risk=["much", *SCORE[1:]]), "word_risk.csv")
    write_frame(risk.rename(columns={"risk": "psmi"}), "psmi.csv")
