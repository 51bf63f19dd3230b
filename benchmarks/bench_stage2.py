"""An epoch of stage 2 at the paper's size against the plain design, from steps measured in turn.

Plain: a loader opens the files of each sample, its text is tokenised and padded to 32 tokens, and a
BERT-base tower reads every text at every step. Ours: `fit_fusion` on tensors in memory; a frozen tower's
features are made once (before the clock starts: what the plain design reads in about four steps), a trained
tower reads the distinct texts of a batch. Embeddings and weights are random; texts are the committed ones
of the 306 labels, each label pair equally often. A plain step takes the better part of a minute on two
cores, and more where the tower trains, so that one is measured only when asked for:

    python benchmarks/bench_stage2.py             the frozen tower, as in `make bench`
    python benchmarks/bench_stage2.py --trained   the trained one too
"""

import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from comparing import compare, main, row
from torch.utils.data import DataLoader, Dataset

from tfcovr_utils.encoders.tokens import MAX_TOKENS, official_text, tokenise
from tfcovr_utils.profiles import ROOT
from tfcovr_utils.training.fusion import Fusion, unit
from tfcovr_utils.training.losses import info_nce
from tfcovr_utils.training.settings import STAGE2
from tfcovr_utils.training.stage2 import Stage2Data, fit_fusion
from tfcovr_utils.training.towers import TextTower, tower_config

TRIPLETS, CLIPS, DIM = 180_000, 36_000, 768
REPEATS, STEPS = 3, 4  # repeats of one plain step, and of some of ours, the first of which does not count
QUICK = {"batch": 8, "projection_dim": 16, "hidden_dim": 32}  # and a tower of one layer


class Samples(Dataset):
    """What the plain loader opens: two files and a text a sample."""

    def __init__(self, folder, texts, triplets):
        self.folder, self.texts, self.triplets = folder, texts, triplets

    def __len__(self):
        return len(self.triplets)

    def __getitem__(self, row):
        query, text, target = self.triplets[row]
        video, answer = (
            torch.load(self.folder / f"{clip}.pth", weights_only=True) for clip in (query, target)
        )
        return video, self.texts[text], answer


def plain_steps(folder, tokenizer, texts, triplets, tower, trained, settings):
    """Yield the seconds of each step of the plain design, by a loop as the official one."""
    fusion = Fusion(DIM, tower.config.hidden_size, settings.projection_dim, settings.hidden_dim)
    tower.embeddings.word_embeddings.requires_grad_(
        False
    )  # as the official code by its tied head, and as ours
    weights = [*fusion.parameters(), *(p for p in tower.parameters() if trained and p.requires_grad)]
    optimizer = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=settings.weight_decay)
    loader = DataLoader(Samples(folder, texts, triplets), settings.batch, shuffle=True, drop_last=True)
    start = perf_counter()
    for video, batch_texts, answer in loader:
        tokens = tokenizer(
            list(batch_texts),
            padding="max_length",
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        )
        with torch.set_grad_enabled(trained):
            features = tower(tokens["input_ids"], tokens["attention_mask"])
        loss = info_nce(fusion(video, features), unit(answer), settings.temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield perf_counter() - start
        start = perf_counter()


def plain(made):
    """Seconds of the next step of the plain design."""
    if "steps" not in made:
        folder, triplets, batch = made["folder"], made["triplets"], made["settings"].batch
        triplets = triplets[: batch * (REPEATS + 1)]
        for clip in {int(clip) for rows in triplets for clip in (rows[0], rows[2])}:
            torch.save(torch.randn(DIM), folder / f"{clip}.pth")
        made["steps"] = plain_steps(
            folder,
            made["tokenizer"],
            made["texts"],
            triplets,
            made["tower"],
            made["trained"],
            made["settings"],
        )
    return next(made["steps"])


def ours(made, precision="float32"):
    """Seconds of a step of `fit_fusion`."""
    tower, trained, texts = made["tower"], made["trained"], made["texts"]
    if "video" not in made:
        made["video"] = torch.randn(CLIPS, DIM)
        made["read"] = (
            tokenise(texts, made["tokenizer"])
            if trained
            else torch.randn(len(texts), tower.config.hidden_size)
        )
    settings = replace(
        made["settings"],
        steps=STEPS,
        select_every=1,
        precision=precision,
        text_tower="trained" if trained else "frozen",
    )
    triplets = torch.from_numpy(made["triplets"])
    data = Stage2Data(made["video"], made["read"], made["video"], triplets, tower=tower if trained else None)
    _, history = fit_fusion(data, settings)
    return median(np.diff(history["seconds"]))


def make(folder, trained, quick):
    from transformers import BertTokenizer

    torch.manual_seed(0)
    pairs = pd.read_csv(ROOT / "data" / "modifications" / "tfcovr_short.csv")["text"].map(official_text)
    place, texts = pd.factorize(pairs)
    rng = np.random.default_rng(0)
    ends = rng.integers(CLIPS, size=(2, TRIPLETS))
    triplets = np.stack([ends[0], place[rng.integers(len(place), size=TRIPLETS)], ends[1]], axis=1)
    words = sorted({word for text in texts for word in text.replace(",", " ").replace("-", " ").split()})
    vocabulary = {
        word: place
        for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", "-", *words])
    }
    tower = TextTower(tower_config(**(dict(num_hidden_layers=1) if quick else {})))
    settings = replace(STAGE2["paper"], **(QUICK if quick else {}))
    return (
        {
            "folder": folder,
            "tokenizer": BertTokenizer(vocab=vocabulary),
            "texts": list(texts),
            "triplets": triplets,
            "tower": tower,
            "trained": trained,
            "settings": settings,
        },
    )


def measure(quick=False, towers=(False,)):
    rows = []
    settings = replace(STAGE2["paper"], **(QUICK if quick else {}))
    designs = {"float32": ours, "bf16": partial(ours, precision="bf16"), "plain": plain}
    for trained in towers:
        with tempfile.TemporaryDirectory() as folder:
            found = compare(
                designs, make, Path(folder), trained, quick, repeats=1 if quick else REPEATS, quick=quick
            )
        steps = TRIPLETS // settings.batch
        epochs = {
            name: replace(measured, seconds=steps * median(measured.values))
            for name, measured in found.items()
        }
        what = f"stage-2 epoch, batch {settings.batch}, {DIM}-d, tower {'trained' if trained else 'frozen'}"
        note = f"an epoch is {steps} steps; a step is measured"
        text = "text tower trained, distinct texts of a batch" if trained else "text features cached"
        rows += [
            row(
                what,
                f"in memory, {text}, {name}",
                "a file a sample, texts read every step, float32",
                TRIPLETS,
                "triplets",
                epochs[name],
                epochs["plain"],
                note,
            )
            for name in designs
            if name != "plain"
        ]
    return rows


if __name__ == "__main__":
    trained = "--trained" in sys.argv and not sys.argv.remove("--trained")
    main(partial(measure, towers=(False, True) if trained else (False,)), __doc__)
