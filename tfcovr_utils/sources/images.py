"""CIRR, FashionIQ and CIRCO: composed image retrieval, a picture being a clip of one frame.

The query picture is never an answer, as in CoVR's evaluation of all three. Answers that owners keep to themselves leave their queries
without targets: such a split is for a submission.
"""

from pathlib import Path

import pandas as pd

from .annotated import TRIPLET_COLUMNS, grouped, read_entries, read_mapping, tables
from .source import first_file

CATEGORIES = ("dress", "shirt", "toptee")
_CIRR = "github.com/Cuberick-Orion/CIRR, branch cirr_dataset (MIT)"
_FASHIONIQ = "github.com/XiaoxiaoGuo/fashion-iq"
_CIRCO = "github.com/miccunifi/CIRCO (CC BY-NC 4.0)"
_COCO = "cocodataset.org, 2017 Unlabeled image info"
_TARGETS = ["query_id", "gallery", "clip_id"]


def read_cirr(folder: Path) -> dict:
    """Read CIRR: the gallery `full` is every picture of the split, `subset` the other five of the query's set.

    Paths are those of image_splits/, below NLVR2's folder of pictures. Query ids end in the owners' pair id.
    """
    folder = Path(folder)
    clips, queries, gallery, targets, triplets, files = [], [], [], [], [], {}
    for split, name in (("train", "train"), ("val", "val"), ("test", "test1")):
        found = sorted(folder.glob(f"captions/cap.*.{name}.json"))
        if not found:
            continue
        files[split] = found[-1].name
        entries = read_entries(
            found[-1],
            ["pairid", "reference", "caption", "img_set", *([] if split == "test" else ["target_hard"])],
        )
        pictures = read_mapping(first_file(folder, [f"image_splits/split.*.{name}.json"], _CIRR))
        paths = [path.removeprefix("./") for path in pictures.values()]
        clips.append(pd.DataFrame({"clip_id": list(pictures), "split": split, "path": paths}))
        if split == "train":
            triplets = [(entry["reference"], entry["target_hard"], entry["caption"]) for entry in entries]
            continue
        asked = pd.DataFrame(
            [
                (f"{split}-{entry['pairid']:06d}", split, entry["reference"], entry["caption"].strip())
                for entry in entries
            ],
            columns=["query_id", "split", "query_clip", "text"],
        )
        asked["subset_group"], members = grouped(
            [(entry["reference"], entry["img_set"]["members"]) for entry in entries], "subset", split
        )
        queries.append(asked)
        gallery += [
            pd.DataFrame({"gallery": "full", "split": split, "clip_id": list(pictures), "group": ""}),
            members,
        ]
        targets += [
            (query_id, name, entry["target_hard"])
            for query_id, entry in zip(asked["query_id"], entries)
            if "target_hard" in entry
            for name in ("full", "subset")
        ]
    if not queries:
        first_file(folder, ["captions/cap.*.val.json"], _CIRR)
    return tables(
        "cirr",
        pd.concat(clips),
        pd.concat(queries),
        pd.concat(gallery),
        pd.DataFrame(targets, columns=_TARGETS, dtype=str),
        pd.DataFrame(triplets, columns=TRIPLET_COLUMNS, dtype=str),
        annotations=files,
        version=_version(files),
    )


def _version(files: dict[str, str]) -> str:
    """The version of CIRR that its files name, as rc2 of cap.rc2.val.json."""
    return next(iter(files.values())).split(".")[1]


def read_fashioniq(folder: Path) -> dict:
    """Read FashionIQ: a query searches all pictures of its category in image_splits/, and asks with both of its captions.

    The field scores val. Query ids name the category. Pictures are `<id>.png`, or .jpg where images/ beside the annotations has such.
    """
    folder = Path(folder)
    suffix = ".jpg" if any(folder.glob("images/*.jpg")) else ".png"
    clips, queries, gallery, targets, triplets, files = [], [], [], [], [], {}
    for split in ("train", "val", "test"):
        for category in CATEGORIES:
            path = folder / "captions" / f"cap.{category}.{split}.json"
            if not path.exists():
                continue
            files[split] = f"cap.*.{split}.json"
            entries = read_entries(path, ["candidate", "captions", *([] if split == "test" else ["target"])])
            pictures = read_pictures(
                first_file(folder, [f"image_splits/split.{category}.{split}.json"], _FASHIONIQ)
            )
            clips.append(
                pd.DataFrame(
                    {"clip_id": pictures, "split": split, "path": [name + suffix for name in pictures]}
                )
            )
            texts = [" and ".join(caption.strip() for caption in entry["captions"]) for entry in entries]
            if split == "train":
                triplets += [
                    (entry["candidate"], entry["target"], text) for entry, text in zip(entries, texts)
                ]
                continue
            ids = [f"{split}-{category}-{row:05d}" for row in range(len(entries))]
            queries.append(
                pd.DataFrame(
                    {
                        "query_id": ids,
                        "split": split,
                        "query_clip": [entry["candidate"] for entry in entries],
                        "text": texts,
                        "full_group": category,
                    }
                )
            )
            gallery.append(
                pd.DataFrame({"gallery": "full", "split": split, "clip_id": pictures, "group": category})
            )
            targets += [
                (query_id, "full", entry["target"])
                for query_id, entry in zip(ids, entries)
                if "target" in entry
            ]
    if not queries:
        first_file(folder, ["captions/cap.dress.val.json"], _FASHIONIQ)
    return tables(
        "fashioniq",
        pd.concat(clips),
        pd.concat(queries),
        pd.concat(gallery),
        pd.DataFrame(targets, columns=_TARGETS, dtype=str),
        pd.DataFrame(triplets, columns=TRIPLET_COLUMNS, dtype=str),
        annotations=files,
    )


def read_pictures(path: Path) -> list[str]:
    """The ids of a split of FashionIQ, each once."""
    ids = read_entries(path, [])
    return list(dict.fromkeys(map(str, ids)))


def read_circo(folder: Path) -> dict:
    """Read CIRCO: every query searches all of COCO's unlabelled pictures; `target_clip` is the one that its caption was written of.

    Clip ids are COCO's numbers, query ids end in the owners'. The pictures are below COCO2017_unlabeled/unlabeled2017/.
    """
    folder = Path(folder)
    info = read_mapping(
        first_file(
            folder,
            [
                "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json",
                "**/image_info_unlabeled2017.json",
            ],
            _COCO,
        )
    )
    pictures = {str(image["id"]): image["file_name"] for image in info["images"]}
    clips = pd.DataFrame(
        {
            "clip_id": list(pictures),
            "split": "",  # val and test search the same
            "path": ["COCO2017_unlabeled/unlabeled2017/" + name for name in pictures.values()],
        }
    )
    queries, targets, files = [], [], {}
    for split in ("val", "test"):
        path = folder / "annotations" / f"{split}.json"
        if not path.exists():
            continue
        files[split] = path.name
        answer = ["gt_img_ids", "target_img_id"] if split == "val" else []
        entries = read_entries(path, ["id", "reference_img_id", "relative_caption", *answer])
        queries += [
            (
                f"{split}-{entry['id']:04d}",
                split,
                str(entry["reference_img_id"]),
                entry["relative_caption"].strip(),
                str(entry.get("target_img_id", "")),
            )
            for entry in entries
        ]
        targets += [
            (f"{split}-{entry['id']:04d}", "full", str(image))
            for entry in entries
            for image in entry.get("gt_img_ids", [])
        ]
    if not queries:
        first_file(folder, ["annotations/val.json"], _CIRCO)
    gallery = pd.concat(
        [pd.DataFrame({"gallery": "full", "split": split, "clip_id": list(pictures)}) for split in files]
    )
    columns = ["query_id", "split", "query_clip", "text", "target_clip"]
    return tables(
        "circo",
        clips,
        pd.DataFrame(queries, columns=columns, dtype=str),
        gallery,
        pd.DataFrame(targets, columns=_TARGETS, dtype=str),
        annotations=files,
    )
