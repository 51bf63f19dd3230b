"""A benchmark as a retrieval task of the library mteb: a folder of its files, and its task object.

In queries.jsonl, clip_id never answers; groups.json is there if a query searches only a part. mteb's
map_at_50 is our mAP@50 if no query has over 50 targets.
"""

import json
import os
from pathlib import Path

import pandas as pd

from ...benchmark import Benchmark, make_task
from ...machine.files import read_json, replacing, write_json, write_manifest
from ...metrics.ranking import RANKS
from ...video import is_picture

PROMPT = "Find the video that shows what this video shows, changed as the text says."


def export_task(
    benchmark: Benchmark,
    clips_dir: Path,
    folder: Path,
    protocol: str = "full",
    split: str = "test",
    name: str = "TFCoVR",
) -> Path:
    """Write a protocol's corpus, queries with targets, and qrels for mteb, with relative paths of clips."""
    if protocol == "official":
        raise ValueError(
            "protocol 'official' repeats clips in its gallery, which mteb's corpus cannot; choose another."
        )
    task, folder = make_task(benchmark, protocol, split), Path(folder)
    asked = [row for row, clips in enumerate(task.answers) if clips]
    if not asked:
        raise ValueError(
            f"no query of {split} has a target under {protocol!r}; choose a split with public answers."
        )
    path_of = benchmark.clips.set_index("clip_id")["path"]
    kind = "image" if path_of.map(is_picture).any() else "video"

    def shown(clip_id: str) -> dict[str, str]:
        return {kind: Path(os.path.relpath(Path(clips_dir) / path_of[clip_id], folder)).as_posix()}

    queries, qrels = [], []
    for row in asked:
        query = task.queries.iloc[row]
        queries.append(
            {"id": query["query_id"], "text": query["text"], **shown(query["query_clip"])}
            | {"clip_id": query["query_clip"]}
            | ({"group": task.group[row]} if task.group else {})
        )
        qrels += [(query["query_id"], clip_id, 1) for clip_id in task.answers[row]]
    write_manifest([{"id": clip_id, **shown(clip_id)} for clip_id in task.gallery], folder / "corpus.jsonl")
    write_manifest(queries, folder / "queries.jsonl")
    if task.group:
        groups = {query["group"] for query in queries}
        write_json({group: sorted(task.members[group]) for group in groups}, folder / "groups.json")
    with replacing(folder / "qrels" / f"{split}.tsv") as temporary:
        table = pd.DataFrame(qrels, columns=["query-id", "corpus-id", "score"])
        table.to_csv(temporary, sep="\t", index=False, lineterminator="\n")
    about = {"name": name, "protocol": protocol, "split": split, "modality": kind, "task": task.fingerprint}
    write_json(about, folder / "task.json")
    return folder


def read_qrels(folder: Path) -> dict[str, dict[str, int]]:
    """Read the right answers of an exported folder: query id -> corpus id -> 1."""
    path = Path(folder) / "qrels" / f"{read_json(Path(folder) / 'task.json')['split']}.tsv"
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return {name: dict.fromkeys(rows["corpus-id"], 1) for name, rows in table.groupby("query-id")}


def candidates(folder: Path) -> dict[str, list[str]]:
    """Return what each query searches, mteb's top_ranked: the corpus or its group, and never its own clip."""
    folder = Path(folder)
    corpus = [row["id"] for row in _read_lines(folder / "corpus.jsonl")]
    groups = read_json(folder / "groups.json") if (folder / "groups.json").exists() else {}
    searched = {}
    for query in _read_lines(folder / "queries.jsonl"):
        members = set(groups[query["group"]]) if groups else set(corpus)
        searched[query["id"]] = [one for one in corpus if one in members and one != query["clip_id"]]
    return searched


def load_task(folder: Path):
    """Return the mteb task of an exported folder, for `mteb.evaluate(model, load_task(folder))`."""
    try:
        from datasets import Dataset, Image, Video
        from mteb.abstasks.retrieval import AbsTaskRetrieval
        from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
        from mteb.abstasks.task_metadata import TaskMetadata
    except ImportError as error:
        raise ImportError(
            f"mteb with its datasets is not installed ({error}); run `pip install 'tfcovr_utils[mteb]'`."
        ) from error
    folder = Path(folder).resolve()
    about = read_json(folder / "task.json")
    kind, split = about["modality"], about["split"]
    feature, letter = (Image(), "i") if kind == "image" else (Video(), "v")

    def table(name: str, *columns: str) -> Dataset:
        rows = [
            {column: row[column] for column in columns} | {kind: str(folder / row[kind])}
            for row in _read_lines(folder / name)
        ]
        return Dataset.from_list(rows).cast_column(kind, feature)

    class ComposedRetrieval(AbsTaskRetrieval):
        k_values = (1, *RANKS)
        metadata = TaskMetadata(
            name=about["name"],
            description=f"Composed retrieval, protocol {about['protocol']}: a {kind} and a text that "
            "changes it ask for others like it.",
            dataset={"path": str(folder), "revision": about["task"]},
            type="Any2AnyRetrieval",
            category=f"{letter}t2{letter}",
            modalities=[kind, "text"],
            eval_splits=[split],
            eval_langs=["eng-Latn"],
            main_score="map_at_50",
            prompt={"query": PROMPT.replace("video", kind)},
        )

        def load_data(self, *args, **kwargs) -> None:
            if not self.data_loaded:
                data = RetrievalSplitData(
                    corpus=table("corpus.jsonl", "id"),
                    queries=table("queries.jsonl", "id", "text"),
                    relevant_docs=read_qrels(folder),
                    top_ranked=candidates(folder),
                )
                self.dataset, self.data_loaded = {"default": {split: data}}, True

    return ComposedRetrieval()


def _read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
