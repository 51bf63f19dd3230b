"""A benchmark as a retrieval task of the library mteb: a folder of its files, and its task object where mteb is installed.

    tfcovr export mteb --benchmark DIR --clips DIR --protocol full --out DIR

The folder has corpus.jsonl (id, video), queries.jsonl (id, text, video, and clip_id, which never answers it), qrels/<split>.tsv, where
a query searches a part only groups.json, and task.json. Where no query has over 50 targets, mteb's map_at_50 is our mAP@50.
"""

import json
import os
from pathlib import Path

import pandas as pd

from ...benchmark.benchmark import Benchmark
from ...benchmark.protocols import make_task
from ...machine.files import replacing, write_json
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
    """Write a protocol of a benchmark as mteb's corpus, queries and qrels; paths of clips are relative to the folder.

    Queries without targets are left out, as mteb would do.
    """
    if protocol == "official":
        raise ValueError(
            "protocol 'official' repeats clips in its gallery, which no library's corpus does; choose another."
        )
    task, folder = make_task(benchmark, protocol, split), Path(folder)
    asked = [row for row, clips in enumerate(task.answers) if clips]
    if not asked:
        raise ValueError(
            f"no query of {split} has a target under {protocol!r}; choose a split whose answers are published."
        )
    path_of = benchmark.clips.set_index("clip_id")["path"]
    folder.mkdir(parents=True, exist_ok=True)
    kind = "image" if path_of.map(is_picture).any() else "video"

    def shown(clip_id: str) -> str:
        return Path(os.path.relpath(Path(clips_dir) / path_of[clip_id], folder)).as_posix()

    rows = task.queries.iloc[asked]
    queries = [
        {"id": query.query_id, "text": query.text, kind: shown(query.query_clip), "clip_id": query.query_clip}
        for query in rows.itertuples()
    ]
    if task.group:
        queries = [query | {"group": task.group[row]} for query, row in zip(queries, asked)]
        write_json(
            {group: sorted(task.members[group]) for group in sorted({task.group[row] for row in asked})},
            folder / "groups.json",
        )
    _write_lines([{"id": clip_id, kind: shown(clip_id)} for clip_id in task.gallery], folder / "corpus.jsonl")
    _write_lines(queries, folder / "queries.jsonl")
    qrels = pd.DataFrame(
        [(query["id"], clip_id, 1) for query, row in zip(queries, asked) for clip_id in task.answers[row]],
        columns=["query-id", "corpus-id", "score"],
    )
    (folder / "qrels").mkdir(exist_ok=True)
    with replacing(folder / "qrels" / f"{split}.tsv") as temporary:
        qrels.to_csv(temporary, sep="\t", index=False, lineterminator="\n")
    write_json(
        {"name": name, "protocol": protocol, "split": split, "modality": kind, "task": task.fingerprint},
        folder / "task.json",
    )
    return folder


def read_qrels(folder: Path) -> dict[str, dict[str, int]]:
    """Query id -> corpus id -> 1."""
    split = json.loads((Path(folder) / "task.json").read_text("utf-8"))["split"]
    table = pd.read_csv(
        Path(folder) / "qrels" / f"{split}.tsv",
        sep="\t",
        dtype={"query-id": str, "corpus-id": str},
        keep_default_na=False,
    )
    return {
        query_id: dict(zip(rows["corpus-id"], rows["score"].map(int)))
        for query_id, rows in table.groupby("query-id")
    }


def candidates(folder: Path) -> dict[str, list[str]]:
    """What each query searches, mteb's top_ranked: the corpus or its group's part of it, and never its own clip."""
    folder = Path(folder)
    corpus = [row["id"] for row in _read_lines(folder / "corpus.jsonl")]
    groups = (
        json.loads((folder / "groups.json").read_text("utf-8")) if (folder / "groups.json").exists() else {}
    )
    of_group = {
        group: [clip_id for clip_id in corpus if clip_id in set(members)] for group, members in groups.items()
    }
    return {
        query["id"]: [
            clip_id for clip_id in of_group.get(query.get("group"), corpus) if clip_id != query["clip_id"]
        ]
        for query in _read_lines(folder / "queries.jsonl")
    }


def load_task(folder: Path):
    """The mteb task of an exported folder, for `mteb.evaluate(model, load_task(folder))`."""
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
    about = json.loads((folder / "task.json").read_text("utf-8"))
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
            description=f"Composed retrieval, protocol {about['protocol']}: a {kind} and a text that changes it ask for others like it.",
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


def _write_lines(rows: list[dict], path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def _read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
