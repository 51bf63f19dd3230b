"""CIRR, FashionIQ and CIRCO: composed image retrieval, where a picture is a clip of one frame.

As in CoVR's evaluation of all three, the query picture is never an answer. Where the owners keep the answers
to themselves, queries have no targets: such a split is for a submission.
"""

import json
from pathlib import Path

from .annotated import Annotations
from .published_files import find_file, read_json

CATEGORIES = ("dress", "shirt", "toptee")
_CIRR = "github.com/Cuberick-Orion/CIRR, branch cirr_dataset (MIT)"
_FASHIONIQ = "github.com/XiaoxiaoGuo/fashion-iq"
_CIRCO = "github.com/miccunifi/CIRCO (CC BY-NC 4.0)"
_COCO = "cocodataset.org, 2017 Unlabeled image info"


def read_cirr(folder: Path) -> dict:
    """Read CIRR: the gallery `full` is every picture of the split, `subset` the other five of a query's set.

    Paths are those of image_splits/, below NLVR2's folder of pictures. Query ids end in the owners' pair id.
    `subset_soft` has the owners' score of each picture that may answer within the set, as JSON.
    """
    found = Annotations("cirr")
    for split, name in (("train", "train"), ("val", "val"), ("test", "test1")):
        paths = sorted(Path(folder).glob(f"captions/cap.*.{name}.json"))
        if not paths:
            continue
        found.files[split] = paths[-1].name
        answer = ["target_hard"] if split != "test" else []
        entries = read_json(paths[-1], list, ["pairid", "reference", "caption", "img_set", *answer])
        pictures = read_json(find_file(folder, [f"image_splits/split.*.{name}.json"], _CIRR), dict)
        for clip_id, path in pictures.items():
            found.add_clip(clip_id, split, path.removeprefix("./"))
        if split == "train":
            found.triplets = [
                (entry["reference"], entry["target_hard"], entry["caption"]) for entry in entries
            ]
            continue
        found.add_gallery("full", split, pictures)
        for entry in entries:
            query_id, query_clip = f"{split}-{entry['pairid']:06d}", entry["reference"]
            group = found.add_group("subset", split, [query_clip, *entry["img_set"]["members"]])
            more = {"subset_group": group, "subset_soft": json.dumps(entry.get("target_soft", {}))}
            found.add_query(query_id, split, query_clip, entry["caption"].strip(), **more)
            if "target_hard" in entry:
                found.targets += [(query_id, name, entry["target_hard"]) for name in ("full", "subset")]
    if not found.queries:
        find_file(folder, ["captions/cap.*.val.json"], _CIRR)
    # The version is part of the files' names: rc2 of cap.rc2.val.json.
    return found.tables(version=next(iter(found.files.values())).split(".")[1])


def read_fashioniq(folder: Path) -> dict:
    """Read FashionIQ: a query asks with both its captions and searches the pictures of its category.

    The categories' pictures are those of image_splits/. The field scores val. Query ids name the category.
    Pictures are `<id>.png`, or .jpg where images/ beside the annotations has such.
    """
    folder = Path(folder)
    suffix = ".jpg" if any(folder.glob("images/*.jpg")) else ".png"
    found = Annotations("fashioniq")
    for split in ("train", "val", "test"):
        for category in CATEGORIES:
            path = folder / "captions" / f"cap.{category}.{split}.json"
            if not path.exists():
                continue
            found.files[split] = f"cap.*.{split}.json"
            answer = ["target"] if split != "test" else []
            entries = read_json(path, list, ["candidate", "captions", *answer])
            list_path = find_file(folder, [f"image_splits/split.{category}.{split}.json"], _FASHIONIQ)
            pictures = [str(picture) for picture in read_json(list_path, list)]
            for picture in pictures:
                found.add_clip(picture, split, picture + suffix)
            if split != "train":
                found.add_gallery("full", split, pictures, category)
            for row, entry in enumerate(entries):
                text = " and ".join(caption.strip() for caption in entry["captions"])
                if split == "train":
                    found.triplets.append((entry["candidate"], entry["target"], text))
                    continue
                query_id = f"{split}-{category}-{row:05d}"
                found.add_query(query_id, split, entry["candidate"], text, full_group=category)
                if "target" in entry:
                    found.targets.append((query_id, "full", entry["target"]))
    if not found.queries:
        find_file(folder, ["captions/cap.dress.val.json"], _FASHIONIQ)
    return found.tables()


def read_circo(folder: Path) -> dict:
    """Read CIRCO: every query searches all of COCO's unlabelled pictures.

    `target_clip` is the picture for which the owners wrote the caption. Clip ids are COCO's numbers; query
    ids end in the owners'. The pictures are below COCO2017_unlabeled/unlabeled2017/.
    """
    folder, name = Path(folder), "image_info_unlabeled2017.json"
    info_path = find_file(folder, [f"COCO2017_unlabeled/annotations/{name}", f"**/{name}"], _COCO)
    found = Annotations("circo")
    for image in read_json(info_path, dict)["images"]:
        # Val and test search the same pictures, which belong to neither.
        found.add_clip(str(image["id"]), "", f"COCO2017_unlabeled/unlabeled2017/{image['file_name']}")
    for split in ("val", "test"):
        path = folder / "annotations" / f"{split}.json"
        if not path.exists():
            continue
        found.files[split] = path.name
        found.add_gallery("full", split, list(found.clips))
        answer = ["gt_img_ids", "target_img_id"] if split == "val" else []
        for entry in read_json(path, list, ["id", "reference_img_id", "relative_caption", *answer]):
            query_id, query_clip = f"{split}-{entry['id']:04d}", str(entry["reference_img_id"])
            target_clip = str(entry.get("target_img_id", ""))
            text = entry["relative_caption"].strip()
            found.add_query(query_id, split, query_clip, text, target_clip=target_clip)
            found.targets += [(query_id, "full", str(image)) for image in entry.get("gt_img_ids", [])]
    if not found.queries:
        find_file(folder, ["annotations/val.json"], _CIRCO)
    return found.tables()
