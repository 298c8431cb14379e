"""How many texts a second, against the libraries beneath? What does a cache save?

    python benchmarks/embedding.py [--texts 2000] [--repeats 5] [--write]

Sentences of film reviews through the packaged MiniLM on the CPU, by each way in turn,
in one process: a bare loop of transformers (tokenized once, sorted by length, padded a
batch at a time, mean of the last hidden states), `SentenceTransformer.encode`,
`SentenceEmbedder`, `HiddenStateEmbedder`, and `SentenceEmbedder` with a cache: a first
call into an empty folder and a second one. Models are loaded and warm. A ratio is that
of two times of the same turn; figures are medians over the turns, with their range.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

RESULTS = Path(__file__).parent / "results" / "embedding.json"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
MARKERS = "<!-- embedding -->\n", "<!-- end of embedding -->"
HEADER = (
    "| way | texts a second (range) | over the bare loop (range) | "
    f"over `encode` (range) |\n|{'---|' * 4}"
)
BATCH_SIZE = 32
BARE, ENCODE = "bare loop of transformers", "`SentenceTransformer.encode`"
SENTENCE, HIDDEN = "`SentenceEmbedder`", "`HiddenStateEmbedder`"
FIRST, SECOND = f"{SENTENCE}, cache, first call", f"{SENTENCE}, cache, second call"
EXACT = 1e-4  # largest difference of an entry between two ways


def bare_loop(folder):
    """Give the function that embeds texts by transformers alone."""
    import numpy as np
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()

    @torch.inference_mode()
    def embed(texts):
        tokens = tokenizer(texts, truncation=True, max_length=256)["input_ids"]
        order = np.argsort([-len(each) for each in tokens], kind="stable")
        rows = np.empty((len(texts), model.config.hidden_size), np.float32)
        for begin in range(0, len(order), BATCH_SIZE):
            few = order[begin : begin + BATCH_SIZE]
            batch = tokenizer.pad(
                {"input_ids": [tokens[place] for place in few]}, return_tensors="pt"
            )
            states = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            rows[few] = ((states * mask).sum(1) / mask.sum(1)).numpy()
        return rows

    return embed


def ways(folder):
    """Each way to embed texts, loaded; HiddenStateEmbedder where there is one."""
    from sentence_transformers import SentenceTransformer

    from smilearn import SentenceEmbedder

    encoder = SentenceTransformer(folder, device="cpu")
    found = {
        BARE: bare_loop(folder),
        ENCODE: lambda texts: encoder.encode(
            texts, batch_size=BATCH_SIZE, show_progress_bar=False
        ),
        SENTENCE: SentenceEmbedder(folder, device="cpu").fit([]).transform,
    }
    try:
        from smilearn import HiddenStateEmbedder
    except ImportError:
        print("HiddenStateEmbedder is not there and left out.")
    else:
        embedder = HiddenStateEmbedder(folder, device="cpu")
        found[HIDDEN] = embedder.fit(["a film"]).transform
    return found


def timed(function, texts):
    begin = time.perf_counter()
    rows = function(texts)
    return time.perf_counter() - begin, rows


def same_direction(rows, others):
    """Largest difference of unit rows: some ways normalize and some do not."""
    import numpy as np

    units = [
        each / np.linalg.norm(each, axis=1, keepdims=True) for each in (rows, others)
    ]
    return float(abs(units[0] - units[1]).max())


def one_turn(found, texts, folder):
    """Seconds of each way, and the largest difference of any from the bare loop."""
    from smilearn import SentenceEmbedder

    seconds, rows = {}, {}
    for name, embed in found.items():
        seconds[name], rows[name] = timed(embed, texts)
    with tempfile.TemporaryDirectory() as cache:
        embedder = SentenceEmbedder(folder, device="cpu", cache_folder=cache).fit([])
        for name in (FIRST, SECOND):
            seconds[name], rows[name] = timed(embedder.transform, texts)
    off = max(same_direction(each, rows[BARE]) for each in rows.values())
    if off > EXACT:
        raise SystemExit(f"The ways differ by {off:.1e}; nothing is to be compared.")
    return seconds


def with_range(values, digits):
    low, high = (f"{value:,.{digits}f}" for value in (min(values), max(values)))
    return f"{statistics.median(values):,.{digits}f} ({low} to {high})"


def as_markdown(name, turns, n_texts):
    speeds = [n_texts / turn[name] for turn in turns]
    over = {
        other: [turn[other] / turn[name] for turn in turns] for other in (BARE, ENCODE)
    }
    ratios = " | ".join(with_range(values, 2) for values in over.values())
    return f"| {name} | {with_range(speeds, 0)} | {ratios} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help=f"keep in {RESULTS.name}")
    arguments = parser.parse_args()
    import torch

    from smilearn.datasets import load_rotten_tomatoes, packaged_minilm

    texts = load_rotten_tomatoes(arguments.texts, random_state=0).texts
    folder = str(packaged_minilm())
    found = ways(folder)
    one_turn(found, texts[: 4 * BATCH_SIZE], folder)  # all imported and warm
    turns = [one_turn(found, texts, folder) for _ in range(arguments.repeats)]
    saved = [turn[FIRST] / turn[SECOND] for turn in turns]
    rows = [as_markdown(name, turns, len(texts)) for name in turns[0]]
    table = "\n".join([HEADER, *rows])
    table += (
        f"\n\n{len(texts):,} sentences, batches of {BATCH_SIZE}, "
        f"{torch.get_num_threads()} thread(s). The second call with the cache is "
        f"{with_range(saved, 0)} times as fast as the first.\n"
    )
    print(table)
    if arguments.write:
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        settings = {"texts": len(texts), "batch_size": BATCH_SIZE, "seconds": turns}
        RESULTS.write_text(json.dumps(machine | settings, indent=1) + "\n")
        start, end = MARKERS
        head, rest = PAGE.read_text().split(start)
        tail = rest.split(end)[1]
        PAGE.write_text(f"{head}{start}{table}{end}{tail}")


if __name__ == "__main__":
    main()
