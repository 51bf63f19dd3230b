"""WebVid-CoVR, Dense-WebVid-CoVR and EgoCVR: composed video retrieval from their owners' annotation files."""

from pathlib import Path

from .annotated import Annotations
from .published_files import find_file, parse_list, read_csv

SMALLEST_GALLERY = 2  # EgoCVR leaves out queries that have fewer clips to search
_WEBVID = "the dataset lucas-ventura/WebVid-CoVR on the Hugging Face hub (MIT)"
_DENSE = (
    "annotations/ of the dataset omkarthawakar/Dense-WebVid-CoVR on the Hugging Face hub (no licence stated)"
)
_EGOCVR = "github.com/ExplainableML/EgoCVR, whose README links the gallery file"
# Each subset of WebVid numbers its videos separately.
_FILES = {
    "train": ("2M", "webvid2m-covr_train.csv"),
    "val": ("8M", "webvid8m-covr_val.csv"),
    "test": ("8M", "webvid8m-covr_test.csv"),
}


def read_webvid(folder: Path, dense: bool = False) -> dict:
    """Read WebVid-CoVR, or Dense-WebVid-CoVR with its long modifications, as a Benchmark's fields.

    A query has one answer, and the answers of a split are its gallery. Reads the splits whose files are
    there; val or test must be. A clip is `<2M or 8M>/train/<pth>.mp4`. WebVid's captions become descriptions.
    """
    prefix = "dense-" if dense else ""
    found = Annotations(f"{prefix}webvid-covr")
    for split, (subset, name) in _FILES.items():
        paths = sorted(Path(folder).rglob(prefix + name))
        if not paths:
            continue
        found.files[split] = paths[0].name
        rows = read_csv(paths[0], ["pth1", "pth2", "edit"])
        for number in "12":
            videos = rows[f"pth{number}"]
            for video in videos:
                found.add_clip(f"{subset}/{video}", split, f"{subset}/train/{video}.mp4")
            for video, text in zip(videos, rows.get(f"txt{number}", [])):
                if text:
                    found.descriptions.setdefault(f"{subset}/{video}", text)
        ends = zip(f"{subset}/" + rows["pth1"], f"{subset}/" + rows["pth2"], rows["edit"].str.strip())
        if split == "train":
            found.triplets = list(ends)
            continue
        scores = rows.get("scores")
        for row, (query_clip, target_clip, text) in enumerate(ends):
            scored = {} if scores is None else {"frame_scores": scores.iloc[row]}
            query = found.add_query(f"{split}-{row:06d}", split, query_clip, text, **scored)
            found.targets.append((query["query_id"], "full", target_clip))
            found.add_gallery("full", split, [target_clip])
    if not found.queries:
        find_file(folder, [prefix + _FILES["test"][1]], _DENSE if dense else _WEBVID)
    return found.tables()


def read_egocvr(folder: Path) -> dict:
    """Read EgoCVR as a Benchmark's fields, with two galleries, `global` and `local`.

    A query searches the rows of egocvr_data.csv that each gallery lists for it, its own clip among them if it
    is listed. As officially, rows are ranked: of rows with one clip's name, the last has that name and is
    the answer, and the others are clips `<name>#<row>` of the same file. A clip is `<video>/<clip>.mp4`. A
    query with fewer than `SMALLEST_GALLERY` rows to search has no targets there, since the owners leave it
    out of the mean. Narrations become descriptions.
    """
    name = "egocvr_annotations_gallery.csv"
    path = find_file(folder, [name, f"*/{name}", f"*/*/{name}"], _EGOCVR)
    columns = ["video_clip_id", "target_clip_ids", "instruction", "global_idx", "local_idx"]
    rows = read_csv(path, columns).to_dict("records")
    known_path = find_file(path.parent, ["egocvr_data.csv"], _EGOCVR)
    known = read_csv(known_path, ["clip_name", "video_uid", "narration_text"])
    repeated = known["clip_name"].duplicated(keep="last")
    numbered = known["clip_name"] + "#" + known.index.astype(str)
    names = known["clip_name"].mask(repeated, numbered).tolist()
    found = Annotations("egocvr", files={"test": path.name})
    described = zip(names, known["clip_name"], known["video_uid"], known["narration_text"].str.strip())
    for clip_id, name, video, text in described:
        found.add_clip(clip_id, "test", f"{video}/{name}.mp4", video)
        if text:
            found.descriptions.setdefault(clip_id, text)
    for row, entry in enumerate(rows):
        found.add_query(f"test-{row:06d}", "test", entry["video_clip_id"], entry["instruction"].strip())
    answers = [parse_list(entry["target_clip_ids"], str, path, row) for row, entry in enumerate(rows)]
    notes = {}
    for gallery in ("global", "local"):
        too_small = with_query = 0
        for row, (entry, query) in enumerate(zip(rows, found.queries)):
            places = parse_list(entry[f"{gallery}_idx"], int, path, row)
            if outside := [place for place in places if not 0 <= place < len(names)]:
                raise ValueError(
                    f"{path}, row {row + 1}: gallery index {outside[0]} is none of the {len(names)} clips of "
                    "egocvr_data.csv; take both files from one version."
                )
            searched = [names[place] for place in places]
            query[f"{gallery}_group"] = found.add_group(gallery, "test", searched)
            with_query += query["query_clip"] in searched
            if len(set(searched)) < SMALLEST_GALLERY:
                too_small += 1
                continue
            found.targets += [(query["query_id"], gallery, clip_id) for clip_id in answers[row]]
        notes[f"{gallery}_galleries_too_small"] = too_small
        notes[f"{gallery}_galleries_with_the_query"] = with_query
    return found.tables(notes)
