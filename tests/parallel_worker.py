"""What test_parallel.py launches in two processes, and calls in one to compare with: results of tasks, by
name.

accelerate launch --multi_gpu --num_processes 2 tests/parallel_worker.py FOLDER TASK ...
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tfcovr_utils.machine import processes


def gradients(folder: Path) -> dict:
    from tfcovr_utils.training.losses import hn_nce

    torch.manual_seed(0)
    inputs, targets, layer = torch.randn(12, 5), torch.randn(12, 4), nn.Linear(5, 4)
    values = processes.gather_with_gradient(layer(processes.slice_of_rank(inputs)))
    hn_nce(values, targets, 0.5, 0.5).backward()
    processes.sum_gradients(layer.parameters())
    return {"values": values.detach(), "gradients": [parameter.grad for parameter in layer.parameters()]}


def draws(folder: Path) -> dict:
    torch.manual_seed(processes.rank())
    layer = nn.BatchNorm1d(3)
    nn.init.normal_(layer.weight)
    processes.copy_weights_from_main(layer)
    torch.manual_seed(7)
    processes.seed_ranks_apart(7)
    index = processes.rank()
    return {
        "weight": layer.weight.detach(),
        "drawn": torch.rand(3),
        "seed": processes.seed_of_rank(7, 1),
        "first": processes.broadcast_from_main(index),
        "each": processes.gather_values(index),
        "rows": processes.slice_of_rank(np.arange(6)).tolist(),
    }


def stage2(folder: Path) -> dict:
    from stage2_problem import SMALL, TRIPLETS, agreement, fit

    labels = torch.arange(TRIPLETS) % 7
    found = {}
    for loss in ("info_nce", "hn_nce", "multi_positive"):
        settings = replace(SMALL, loss=loss, beta=0.5, dropout=0.0, select_every=4)
        fusion, curve = fit(settings, validate=agreement, target_labels=labels)
        found[loss] = curve[["loss", "val"]].to_dict("list") | {"weights": fusion.state_dict()}
    return found


def stage2_resumed(folder: Path) -> dict:
    """With dropout, which each process draws for itself: a whole run, and one that was stopped and gone on
    with."""
    from stage2_problem import SMALL, agreement, fit

    settings, calls = replace(SMALL, dropout=0.5), []

    def stopping(fusion):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return agreement(fusion)

    whole, curve = fit(settings, validate=agreement)
    with pytest.raises(KeyboardInterrupt):
        fit(settings, validate=stopping, checkpoint=folder / "cut.pt")
    resumed, rest = fit(settings, validate=agreement, checkpoint=folder / "cut.pt", resume=True)
    return {
        "whole": [curve["loss"].tolist(), whole.state_dict()],
        "resumed": [rest["loss"].tolist(), resumed.state_dict()],
    }


def stage1(folder: Path) -> dict:
    """From features, with heads of attributes and supervised contrast."""
    from stage1_problem import QUICK, fit, ordered_clips

    settings = replace(
        QUICK,
        epochs=3,
        batch=32,
        label_smoothing=0.1,
        contrast_weight=0.3,
        factor_weight=0.5,
        precision="float32",
    )
    model, curve = fit("ordered", *ordered_clips(), settings, factors=True)
    return curve[["loss", "val_loss", "val_top1"]].to_dict("list") | {"weights": model.state_dict()}


def stage1_pixels(folder: Path) -> dict:
    """AIM's adapters, with supervised contrast."""
    from stage1_problem import QUICK, tiny_aim

    from tfcovr_utils.training.readers import ClipReader, Readout
    from tfcovr_utils.training.stage1 import Stage1, Stage1Data, fit_stage1
    from tfcovr_utils.training.stage1_clips import PixelClips

    label_idx = np.arange(48) % 2
    frames = np.random.default_rng(0).integers(0, 80, (48, 3, 16, 16, 3)).astype(np.uint8)
    frames[label_idx == 1, 1] += 120
    model = Stage1(ClipReader(Readout("mean", 16, num_frames=3), ["dark", "bright"], dropout=0.0), tiny_aim())
    settings = replace(QUICK, epochs=3, batch=8, lr=1e-2, contrast_weight=0.3, precision="float32")
    clips = PixelClips(frames, (0.5,) * 3, (0.25,) * 3)
    data = Stage1Data(clips, label_idx, np.arange(32), np.arange(32, 48))
    curve = fit_stage1(model, data, settings)
    return curve[["loss", "val_loss", "val_top1"]].to_dict("list") | {"weights": model.state_dict()}


def clips(folder: Path) -> dict:
    """Ten clips, one of them twice and one that cannot be read, embedded into an empty store, again, and
    in shards."""
    from tiny_encoder import FRAMES, Tiny, table

    from tfcovr_utils.embedding import embed as embedding

    embedding.SHARD_ROWS = 4
    videos, encoder = folder.parent / "videos", Tiny()

    def embed(store, **options):
        options |= {"frames": FRAMES, "progress": False, "store_dir": folder / store}
        return embedding.embed_clips(encoder, table(videos), videos, **options)

    embedded, encoded = embed("store"), processes.gather_values(encoder.encoded)
    again = embed("store")
    texts = embedding.embed_texts(
        encoder, ["show in pike", "show with a twist", "show in pike", "say it"], store_dir=folder / "texts"
    )
    more = sum(processes.gather_values(encoder.encoded)) - sum(encoded)
    shards = [embed("shards", shard=(i, 2)).clip_ids for i in range(2)]
    return {
        "clip_ids": embedded.clip_ids,
        "values": embedded.values,
        "missing": embedded.missing,
        "again": again.values,
        "encoded": encoded,
        "texts": texts,
        "more": more,
        "shards": shards,
    }


def pixels(folder: Path) -> dict:
    """Clips decoded into a file, as where memory does not hold them."""
    from tiny_encoder import table

    from tfcovr_utils.training import stage1_clips as clips

    share, clips.MEMORY_SHARE = clips.MEMORY_SHARE, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFCOVR_DATA", str(folder))
        frames, broken = clips.load_pixels(
            [folder.parent / "videos" / path for path in table(folder.parent / "videos")["path"]], 4, 16
        )
    clips.MEMORY_SHARE = share
    return {
        "frames": torch.from_numpy(np.array(frames)),
        "broken": {row: str(error) for row, error in broken.items()},
    }


def commands(folder: Path) -> dict:
    """Stage 2 and embedding by their commands, and what they say of a batch that cannot be shared."""
    from command import command, status_of

    given = json.loads((folder.parent / "given.json").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFCOVR_DATA", str(folder / "data"))
        read = [
            "--benchmark",
            given["benchmark"],
            "--clips",
            given["clips"],
            "--weights",
            given["weights"],
            "--profile",
            "smoke",
        ]
        code = status_of("embed")([*read, "--encoder", "clip", "--out", str(folder / "data" / "embeddings")])
        train = [
            *read,
            "--out",
            str(folder / "run"),
            "--set",
            "dropout=0.0",
            "steps=20",
            "select_every=10",
            "projection_dim=16",
        ]
        command("train")(train)
        refused = ""
        if processes.world_size() > 1:
            with pytest.raises(SystemExit) as said:
                command("train")([*train, "batch=63"])
            refused = str(said.value)
    return {"code": code, "refused": refused}


def failing(folder: Path) -> dict:
    """One process fails while the others wait for it."""
    if processes.rank() == 1:
        raise ValueError("this one fails")
    processes.barrier()
    return {}


if __name__ == "__main__":
    to, names = Path(sys.argv[1]), sys.argv[2:]
    results = {name: globals()[name](to) for name in names}
    torch.save(results, to / f"process-{processes.rank()}.pt")
