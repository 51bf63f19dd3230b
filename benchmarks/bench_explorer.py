"""Latency and memory of the explorer: 500 queries of a gallery of 36,000 clips, through the real stores and a real method.

Clips are small files of their own, and what a CLIP would have made of them is written to the store beforehand: nothing is
decoded. All else is as in use: texts are encoded, query clips read from the store, answers ranked. Linux and macOS.
"""

import os
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch

from tfcovr_utils import embedding
from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.explorer import Session
from tfcovr_utils.explorer.session import FIRST_METHOD
from tfcovr_utils.labels import parse_label
from tfcovr_utils.profiles import get_profile
from tfcovr_utils.sources.tables import CLIP_COLUMNS, Source, label_row
from tfcovr_utils.store import SETTLED_NS, digest, hash_files
from tfcovr_utils.triplets import Benchmark

NUM_GALLERY, NUM_QUERIES = 36_000, 500
MIB_PER_RSS_UNIT = 1 / 2**20 if sys.platform == "darwin" else 1 / 2**10
FIRST_MS, FURTHER_MS, GROWTH_MIB = 1000, 300, 50  # what is promised
TURNS = [f"(FX) salto backward {shape} with {turns} twist" for shape in ("tucked", "piked", "stretched") for turns in (1, 2, 3)]


def make_clips(folder: Path) -> pd.DataFrame:
    """Files that are clips only by their name, and the table of them."""
    rows = []
    for number in range(NUM_GALLERY):
        split = "test" if number % 10 else "val"
        path = Path(f"{number % 100:02d}") / f"{number:05d}.mp4"
        if number < 100:
            (folder / path).parent.mkdir()
        (folder / path).write_bytes(f"clip {number}".encode())
        rows.append([f"{number:05d}", "made", f"{split}{number // 12}", TURNS[number % len(TURNS)], split, 0.0, 1.0, path.as_posix()])
    rows += [[f"t{number}", "made", f"train{number}", text, "train", 0.0, 1.0, rows[0][-1]] for number, text in enumerate(TURNS)]
    return pd.DataFrame(rows, columns=CLIP_COLUMNS)


def fill_store(clips: pd.DataFrame, folder: Path, store_dir: Path, profile) -> None:
    """Write random frames where `embed_clips` looks for those of this CLIP."""
    encoder = load_encoder("clip", profile.clip_weights, read_out="projected")
    recipe = {"readout": "frames", "frames": profile.frames, "policy": "centre", "decoder": embedding._decoders(clips["path"])}
    store = embedding.Store(store_dir, encoder.name, {"encoder": encoder.identity, "precision": "float32", **recipe})
    keys = [digest(f"clip {number}") for number in range(NUM_GALLERY)]
    generator = torch.Generator().manual_seed(0)
    for start in range(0, NUM_GALLERY, embedding.SHARD_ROWS):
        part = keys[start:start + embedding.SHARD_ROWS]
        store.write(part, torch.randn(len(part), profile.frames, encoder.model.config.projection_dim, generator=generator))
    time.sleep(SETTLED_NS / 1e9)
    hash_files(clips["path"], folder, store_dir)


def main() -> None:
    process = psutil.Process(os.getpid())
    profile = get_profile("mini")
    with tempfile.TemporaryDirectory() as temporary:
        folder, store_dir = Path(temporary) / "clips", Path(temporary) / "store"
        folder.mkdir()
        clips = make_clips(folder)
        fill_store(clips, folder, store_dir, profile)
        labels = pd.DataFrame([label_row(text, text, "made", parse_label(text), "") for text in TURNS])
        benchmark = Benchmark.build(Source(clips, labels), budget=10)
        # The gallery is every clip of val and test, for the size that is promised.
        gallery = pd.DataFrame({"gallery": "all", "split": "test", "clip_id": clips["clip_id"][:NUM_GALLERY]})
        session = Session(replace(benchmark, gallery=gallery), folder, profile, store_dir=store_dir)
        started = time.perf_counter()
        session.embed_gallery(FIRST_METHOD, "test, all")
        print(f"opened: {len(session.members('test, all')):,} clips x {profile.frames} frames read from the store in "
              f"{time.perf_counter() - started:.1f} s, once")
        drawn = np.random.default_rng(0).integers(0, NUM_GALLERY, NUM_QUERIES)
        seconds, processor, memory = [], [], []
        for number, place in enumerate(drawn):
            start, start_cpu = time.perf_counter(), time.process_time()
            answer = session.ask(f"{place:05d}", f"show with {number} twists", gallery="test, all", k=50, hide_source=True)
            seconds.append(time.perf_counter() - start)
            processor.append(time.process_time() - start_cpu)
            memory.append(process.memory_info().rss / 2**20)
            assert len(answer.ranking) == 50
    ms = 1000 * np.array(seconds)
    growth = memory[-1] - memory[len(memory) // 5]
    print(f"first query {ms[0]:.0f} ms; further ones median {np.median(ms[1:]):.0f}, 95 % below {np.quantile(ms[1:], .95):.0f}, "
          f"slowest {ms[1:].max():.0f} ms; "
          f"of processor median {1000 * np.median(processor[1:]):.0f}, 95 % below {1000 * np.quantile(processor[1:], .95):.0f} ms")
    print(f"memory {memory[0]:.0f} MiB after the first query, {memory[len(memory) // 5]:.0f} after {NUM_QUERIES // 5}, "
          f"{memory[-1]:.0f} after {NUM_QUERIES}; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MIB_PER_RSS_UNIT:.0f}")
    print(f"last hundred queries: median {np.median(ms[-100:]):.0f} ms, first hundred: {np.median(ms[1:101]):.0f} ms")
    kept = ms[0] <= FIRST_MS and np.quantile(ms[1:], .95) <= FURTHER_MS and growth <= GROWTH_MIB
    print("kept" if kept else f"NOT KEPT: first within {FIRST_MS} ms, further within {FURTHER_MS} ms, growth within {GROWTH_MIB} MiB")


if __name__ == "__main__":
    main()
