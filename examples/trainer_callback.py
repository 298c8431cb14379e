"""
A callback for your own Trainer
===============================

An ordinary Trainer learns three hundred film reviews, nine of them with a wrong label.
The callback finds the early point, scores the training set there and ends the training.
The samples that it keeps are the training set of the final training.
"""

import tempfile

from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from smilearn import MemorizationCallback
from smilearn.datasets import flip_labels, load_rotten_tomatoes, packaged_minilm
from smilearn.report import EarlyPointDisplay

# %%
# The data and the model: any tokenized data set, any sequence classification model.
set_seed(0)
reviews = load_rotten_tomatoes(300, random_state=0)
labels, flipped = flip_labels(reviews.labels, 0.03, random_state=0)
tokenizer = AutoTokenizer.from_pretrained(packaged_minilm())
model = AutoModelForSequenceClassification.from_pretrained(
    packaged_minilm(), num_labels=2
)
tokens = tokenizer(reviews.texts, truncation=True, max_length=64)["input_ids"]
dataset = [
    {"input_ids": ids, "label": int(label)}
    for ids, label in zip(tokens, labels, strict=True)
]

# %%
# The training needs one more line, the callback. MiniLM was made for mean pooling.
callback = MemorizationCallback(
    reviews.texts, share=0.1, stop=True, pooling="mean", evaluations_per_epoch=2
)
with tempfile.TemporaryDirectory() as folder:
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            folder,
            num_train_epochs=6,
            per_device_train_batch_size=16,
            learning_rate=5e-5,
            save_strategy="no",
            report_to="none",
            dataloader_pin_memory=False,
        ),
        train_dataset=dataset,
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[callback],
    )
    trainer.train()

# %%
# What the callback found.
EarlyPointDisplay.from_estimator(callback)
for entry in callback.history_:
    print(
        f"step {entry['step']:3}: median loss {entry['median_loss']:.3f}, "
        f"{entry['share_fitted']:.0%} fitted"
    )
print(callback.table_.riskiest(10))

# %%
# The samples for the final training. With a ``datasets.Dataset``, use
# ``dataset.select(callback.kept_indices_)``.
kept = [dataset[row] for row in callback.kept_indices_]
found = flipped.sum() - flipped[callback.kept_indices_].sum()
print(
    f"{len(kept)} of {len(dataset)} samples kept; {found} of the {flipped.sum()} "
    f"flipped labels were among the {len(dataset) - len(kept)} left out."
)
