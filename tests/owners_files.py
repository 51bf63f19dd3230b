"""Tiny annotation files of other benchmarks in their owners' layout, with clips and pictures on demand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tfcovr_utils.video import write_clip


def write(folder: Path, name: str, content) -> None:
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def webvid(folder: Path, prefix: str = "") -> None:
    columns = ["txt1", "txt2", "pth1", "pth2", "edit", "scores"]
    rows = {
        "webvid2m-covr_train": [
            ["a cat", "a dog", "1/10", "1/11", "make it a dog", "[0.1]"],
            ["a dog", "a cat", "1/11", "1/10", "make it a cat", "[]"],
        ],
        "webvid8m-covr_val": [["a hen", "a fox", "3/30", "3/31", "turn it into a fox", "[]"]],
        # 7/71 asks for 7/72 and is what 7/70 asks for; NA is a text that a careless reader takes for nothing.
        "webvid8m-covr_test": [
            ["sea", "lake", "7/70", "7/71", "as a lake", "[]"],
            ["lake", "pond", "7/71", "7/72", "NA", "[]"],
            ["pond", "river", "7/72", "7/73", "as a river, at night", "[]"],
        ],
    }
    for name, lines in rows.items():
        write(folder, f"{prefix}{name}.csv", pd.DataFrame(lines, columns=columns).to_csv(index=False))


def egocvr(folder: Path) -> None:
    names = ["v1_0_8", "v1_9_17", "v1_20_28", "v2_0_8", "v2_9_17", "v3_0_8"]
    known = pd.DataFrame(
        {
            "clip_name": names,
            "narration_text": [f"#C C does {n}" for n in range(6)],
            "video_uid": [n[:2] for n in names],
        }
    )
    write(folder, "annotation/egocvr/egocvr_data.csv", known.to_csv(index=False))
    rows = [
        ("v1_0_8", ["v1_9_17"], "Shake it.", [3, 4, 5, 1], [1, 2]),
        ("v1_9_17", ["v1_0_8", "v1_20_28"], "Take it instead.", [0, 2, 3, 4, 5], [0, 2]),
        ("v2_0_8", ["v2_9_17"], "Drop it.", [0, 1, 2, 4, 5], [4]),  # too small a local gallery to be asked
    ]
    columns = ["video_clip_id", "target_clip_ids", "instruction", "global_idx", "local_idx"]
    write(
        folder,
        "annotation/egocvr/egocvr_annotations_gallery.csv",
        pd.DataFrame(rows, columns=columns).to_csv(index=False),
    )


def cirr(folder: Path, extra: int = 0) -> None:
    """Val: two sets of three pictures; test the same. `extra` adds pictures to each split."""
    for name, sets in (("val", "dev"), ("test1", "test1"), ("train", "train")):
        pictures = {
            f"{sets}-{n}-0-img{i}": f"./{sets}/{sets}-{n}-0-img{i}.png"
            for n in range(2 + extra)
            for i in range(3)
        }
        if name == "train":
            pictures = {key: path.replace("train/", "train/34/") for key, path in pictures.items()}
        write(folder, f"image_splits/split.rc2.{name}.json", pictures)
        entries = []
        for n in range(2):
            one = [f"{sets}-{n}-0-img{i}" for i in range(3)]
            for i, pair in enumerate((100 + n, 7 + n)):
                answer = (
                    {} if name == "test1" else {"target_hard": one[i + 1], "target_soft": {one[i + 1]: 1.0}}
                )
                entries.append(
                    {
                        "pairid": pair,
                        "reference": one[i],
                        "caption": f"shows {pair} of them",
                        **answer,
                        "img_set": {"id": n, "members": one, "reference_rank": 0, "target_rank": 1},
                    }
                )
        write(folder, f"captions/cap.rc2.{name}.json", entries)


def fashioniq(folder: Path) -> None:
    for number, category in enumerate(("dress", "shirt", "toptee")):
        for split in ("train", "val", "test"):
            pictures = [f"B{number}{i}{split}" for i in range(4)]
            entries = [
                {
                    "candidate": pictures[i],
                    "captions": ["is longer ", f"has {i} sleeves"],
                    **({} if split == "test" else {"target": pictures[i + 1]}),
                }
                for i in range(2)
            ]
            write(folder, f"image_splits/split.{category}.{split}.json", pictures)
            write(folder, f"captions/cap.{category}.{split}.json", entries)


def circo(folder: Path, pictures: int = 60) -> None:
    images = [{"id": 100 + i, "file_name": f"{100 + i:012d}.jpg"} for i in range(pictures)]
    write(folder, "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json", {"images": images})
    val = [
        {
            "reference_img_id": 100,
            "target_img_id": 103,
            "relative_caption": "is on a chair",
            "shared_concept": "a bear",
            "gt_img_ids": [103, 101, 105],
            "id": 0,
        },
        {
            "reference_img_id": 102,
            "target_img_id": 104,
            "relative_caption": "has two",
            "shared_concept": "a cup",
            "gt_img_ids": [104],
            "id": 1,
        },
    ]
    write(folder, "annotations/val.json", val)
    write(
        folder,
        "annotations/test.json",
        [
            {"reference_img_id": 106 + i, "relative_caption": f"has {i}", "shared_concept": "x", "id": i}
            for i in range(3)
        ],
    )


def show(clips: pd.DataFrame, clips_dir: Path, seed: int = 0) -> None:
    """Write the files of a table of clips, each of a colour of its own and of one of two sizes."""
    rng = np.random.default_rng(seed)
    for place, path in enumerate(clips["path"]):
        frames = np.broadcast_to(
            rng.integers(0, 255, 3), (6 if path.endswith(".mp4") else 1, 32, 32 + 16 * (place % 2), 3)
        ).astype(np.uint8)
        file = Path(clips_dir) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        write_clip(file, frames, 6) if path.endswith(".mp4") else Image.fromarray(frames[0]).save(file)
