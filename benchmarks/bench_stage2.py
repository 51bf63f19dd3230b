"""A step of stage 2 at the paper's size against the plain design, in one run: time, an epoch's time, peak memory.

Plain: a loader opens the files of each sample, its text is tokenised and padded to 32 tokens, and a BERT-base
tower reads every text at every step. Ours: `fit_fusion` on tensors in memory; a frozen tower's features are made
once (before the clock starts), a trained tower reads the distinct texts of a batch. Embeddings and weights are
random; texts are the committed ones of the 306 labels, each label pair equally often. Each design runs in a
process of its own so that peaks do not mix. Linux and macOS (needs `resource`).
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from tfcovr_utils.encoders.tokens import MAX_TOKENS, official_text, tokenise
from tfcovr_utils.fusion import Fusion, unit
from tfcovr_utils.losses import info_nce
from tfcovr_utils.profiles import ROOT
from tfcovr_utils.text_tower import TextTower, tower_config
from tfcovr_utils.training.stage2 import STAGE2, fit_fusion

PAPER = STAGE2["paper"]
TRIPLETS, CLIPS, DIM = 180_000, 36_000, 768
STEPS = {"plain": 1, "ours": 3}
GIB_PER_RSS_UNIT = 1 / 2**30 if sys.platform == "darwin" else 1 / 2**20


class Samples(Dataset):
    """What the plain loader opens: two files and a text a sample."""

    def __init__(self, folder, texts, triplets):
        self.folder, self.texts, self.triplets = folder, texts, triplets

    def __len__(self):
        return len(self.triplets)

    def __getitem__(self, row):
        query, text, target = self.triplets[row]
        video, answer = (torch.load(self.folder / f"{clip}.pth", weights_only=True) for clip in (query, target))
        return video, self.texts[text], answer


def plain(folder, tokenizer, texts, triplets, tower, trained, settings):
    """Seconds of each step of the plain design, by a loop as the official one."""
    fusion = Fusion(DIM, DIM, settings.projection_dim, settings.hidden_dim)
    for clip in {int(clip) for rows in triplets for clip in (rows[0], rows[2])}:
        torch.save(torch.randn(DIM), folder / f"{clip}.pth")
    tower.embeddings.word_embeddings.requires_grad_(False)  # as the official code by its tied head, and as ours
    weights = [*fusion.parameters(), *(p for p in tower.parameters() if trained and p.requires_grad)]
    optimizer = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=settings.weight_decay)
    loader = DataLoader(Samples(folder, texts, triplets), settings.batch, shuffle=True, drop_last=True)
    seconds, start = [], time.perf_counter()
    for video, batch_texts, answer in loader:
        tokens = tokenizer(list(batch_texts), padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        with torch.set_grad_enabled(trained):
            features = tower(tokens["input_ids"], tokens["attention_mask"])
        loss = info_nce(fusion(video, features), unit(answer), settings.temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return seconds


def ours(tokenizer, texts, triplets, tower, trained, settings):
    """Seconds of each step of `fit_fusion`."""
    video = torch.randn(CLIPS, DIM)
    read = tokenise(texts, tokenizer) if trained else torch.randn(len(texts), DIM)
    settings = replace(settings, steps=STEPS["ours"], select_every=1, text_tower="trained" if trained else "frozen")
    _, history = fit_fusion(video, read, video, torch.from_numpy(triplets), settings, tower=tower if trained else None)
    return np.diff(history["seconds"], prepend=0).tolist()


def measure(design, trained, precision):
    from transformers import BertTokenizer

    torch.manual_seed(0)
    pairs = pd.read_csv(ROOT / "data" / "modifications" / "tfcovr_short.csv")["text"].map(official_text)
    place, texts = pd.factorize(pairs)
    rng = np.random.default_rng(0)
    rows = TRIPLETS if design == "ours" else PAPER.batch * STEPS["plain"]
    ends = rng.integers(CLIPS, size=(2, rows))
    triplets = np.stack([ends[0], place[rng.integers(len(place), size=rows)], ends[1]], axis=1)
    words = sorted({word for text in texts for word in text.replace(",", " ").replace("-", " ").split()})
    vocabulary = {word: row for row, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", "-", *words])}
    tower = TextTower(tower_config())
    settings = replace(PAPER, precision=precision)
    given = (BertTokenizer(vocab=vocabulary), list(texts), triplets, tower, trained, settings)
    with tempfile.TemporaryDirectory() as folder:
        seconds = plain(Path(folder), *given) if design == "plain" else ours(*given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * GIB_PER_RSS_UNIT
    distinct = len(set(triplets[: PAPER.batch, 1]))
    return min(seconds), peak, distinct, sum(p.numel() for p in tower.parameters())


def run_alone(*given):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(measure, *given).result()


def main():
    steps = TRIPLETS // PAPER.batch
    sizes = f"{DIM} -> {PAPER.projection_dim} -> {PAPER.hidden_dim}"
    print(f"batch {PAPER.batch}, {sizes}, {TRIPLETS:,} triplets, best step, {torch.get_num_threads()} threads")
    for trained in (False, True):
        plain_s, plain_gib, distinct, tower_size = run_alone("plain", trained, "float32")
        print(f"tower {'trained' if trained else 'frozen'} ({tower_size / 1e6:.0f}M parameters), {distinct} distinct texts a batch")
        print(f"  plain          {plain_s:7.2f} s a step  {plain_s * steps / 3600:6.2f} h an epoch  {plain_gib:5.1f} GiB")
        for precision in ("float32", "bf16"):
            ours_s, ours_gib, _, _ = run_alone("ours", trained, precision)
            print(f"  ours {precision:<8}  {ours_s:7.2f} s a step  {ours_s * steps / 3600:6.2f} h an epoch  {ours_gib:5.1f} GiB"
                  f"  {plain_s / ours_s:6.1f} x")  # fmt: skip


if __name__ == "__main__":
    main()
