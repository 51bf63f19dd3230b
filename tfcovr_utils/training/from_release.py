"""Stage 2 from the authors' release alone: its CSVs and embedding files, no video.

tfcovr train --release DIR --profile released --out DIR
"""

from pathlib import Path

import pandas as pd
import torch

from ..benchmark.benchmark import Benchmark
from ..machine import processes
from ..machine.files import write_json, write_table
from ..metrics.ranking import RANKS
from ..profiles import PROFILES, provenance
from ..sources.release.embedding_files import stream_embeddings
from ..sources.release.released import read_release
from .fusion import Fusion
from .loop import Run
from .official_checkpoint import load_stage2
from .settings import Stage2Settings
from .stage2 import fit_fusion
from .stage2_inputs import Inputs, ReadTexts, feature_reader, token_reader
from .towers import BERT, TextTower, load_text_tower

PROTOCOLS = ("official", "capped")


def run(
    release: Path,
    out: Path,
    settings: Stage2Settings,
    seed: int = 0,
    *,
    embeddings: Path | None = None,
    text_weights: str = BERT,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> dict:
    """Train stage 2 on a release, choose the step on val, and score test; with `checkpoint`, an official one,
    only score.

    Writes the fusion, its curve, AP@K of every test query, and results.json with what all of it came from.
    Returns the mAP in per cent by protocol, as in results.json.
    """
    out, device, embeddings = Path(out), processes.device(), embeddings or find_embeddings(release)
    trained = settings.text_tower == "trained" or checkpoint is not None
    read = token_reader(text_weights) if trained else feature_reader(text_weights, device)
    tower = load_text_tower(text_weights).to(device) if trained and checkpoint is None else None
    inputs = read_inputs(release, embeddings, read, tower, device)
    if checkpoint is None:
        saving = Run(out / "checkpoint.pt", resume, progress)
        validate = inputs.validator("official")
        fusion, curve = fit_fusion(inputs.training_data(), settings, seed, validate, run=saving)
    else:
        fusion = load_stage2(checkpoint).to(device)
    scores, queries = score(fusion, inputs)
    if not processes.is_main():
        return scores
    if checkpoint is None:
        fusion.save_pretrained(out / "fusion")
        write_table(curve, out / "history.parquet")
    write_table(queries, out / "queries.parquet")
    made_of = {"settings": vars(settings), "embeddings": embeddings.name, "text_weights": text_weights}
    made_of |= {"coverage": inputs.coverage, "processes": processes.world_size()}
    made_of["checkpoint"] = checkpoint and checkpoint.name
    write_json(scores | provenance(PROFILES["released"], seed, **made_of), out / "results.json")
    return scores


def find_embeddings(release: Path) -> Path:
    """Find the one file of AIM embeddings, a .pkl with aim and embedding in its name, at any depth."""
    paths = sorted(Path(release).rglob("*.pkl"))
    found = [path for path in paths if "aim" in path.name.lower() and "embedding" in path.name.lower()]
    if len(found) != 1:
        listed = ", ".join(str(path.relative_to(release)) for path in found) or "none"
        advice = "name the one to read, or a folder of .pth files, with --embeddings."
        raise FileNotFoundError(f"{release} holds {len(found)} files of AIM embeddings ({listed}); {advice}")
    return found[0]


def read_inputs(
    release: Path, embeddings: Path, read: ReadTexts, tower: TextTower | None, device: torch.device | str
) -> Inputs:
    """Read a release for stage 2, `read` and `tower` as in `Inputs`; a clip is the mean of its frames."""
    benchmark = Benchmark(**read_release(release))
    pooled = {
        clip_id: torch.from_numpy(array).reshape(-1, array.shape[-1]).mean(0)
        for clip_id, array in stream_embeddings(embeddings)
    }
    known = [clip_id for clip_id in benchmark.clips["clip_id"] if clip_id in pooled]
    if not known:
        named = f"{len(benchmark.clips)} clips that {release} names"
        example = f"such as {benchmark.clips['clip_id'].iloc[0]!r}"
        advice = "give the embeddings of the release with --embeddings."
        raise ValueError(f"{embeddings} holds none of the {named}, {example}; {advice}")
    video = torch.stack([pooled[clip_id] for clip_id in known]).to(device)
    return Inputs(benchmark, known, video, video, read, tower)


def score(fusion: Fusion, inputs: Inputs) -> tuple[dict, pd.DataFrame]:
    """Compute mAP@K of test in per cent by protocol, and the table of AP@K by query that it averages."""
    tables, columns = [], [f"ap@{k}" for k in RANKS]
    for protocol in PROTOCOLS:
        task = inputs.task(protocol, "test")
        values = pd.DataFrame(inputs.average_precision(fusion, task), columns=columns)
        tables.append(pd.concat([task.queries[["query_id"]].assign(protocol=protocol), values], axis=1))
    queries = pd.concat(tables, ignore_index=True)
    means = 100 * queries.groupby("protocol", sort=False)[columns].mean()
    return means.rename(columns=lambda name: f"m{name.replace('ap', 'AP')}").to_dict("index"), queries
