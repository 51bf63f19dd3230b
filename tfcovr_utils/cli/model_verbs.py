"""Verbs that compute with models: embed, pretrain, teach (stage 1), train (stage 2).

Launched with Accelerate (`accelerate launch -m tfcovr_utils teach ...`), several processes share the work.
"""

import argparse
import json
import sys
from pathlib import Path

from ..profiles import get_profile, provenance
from .verb import BENCHMARK, CLIPS, OUT, SEED, option, profile, shard, verb, whole

SET = option(
    "--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings to change from the profile's"
)
RESUME = option("--resume", action="store_true", help="resume from the checkpoint in --out, if there is one")
WEIGHTS = option("--weights", help="hub id, folder or file (default: the profile's)")


@verb(
    "embed",
    "embed a benchmark's clips or texts once, by their content; an interrupted run resumes",
    BENCHMARK,
    CLIPS,
    option("--encoder", required=True, help="clip, aim, blip, blip2, languagebind, siglip2 and others"),
    WEIGHTS,
    profile(),
    option(
        "--frames",
        type=whole(1, 4096),
        help="frames a clip (default: the encoder's own number, else the profile's)",
    ),
    option("--policy", help="which frames: centre, centre-half, ends or middle (default: the encoder's own)"),
    option(
        "--readout", default="frames", choices=["frames", "clips", "texts"], help="one embedding for each"
    ),
    option("--precision", choices=["float32", "bfloat16"], help="default: bfloat16 on a GPU, else float32"),
    option("--batch", type=whole(1, 65536), help="clips or texts that the encoder takes at once"),
    option("--workers", type=whole(1, 1024), help="threads that decode (default: one a core)"),
    option(
        "--shard", type=shard, default=(0, 1), metavar="i/n", help="every n-th clip, starting with the i-th"
    ),
    option("--out", type=Path, help="folder of embeddings (default: embeddings/ below data/)"),
)
def embed(options: argparse.Namespace) -> None:
    """Embed clips or texts; clips that cannot be read are named and the others are embedded."""
    from ..embedding.batches import Compute
    from ..embedding.embed import embed_clips, embed_texts
    from ..encoders import load_encoder
    from ..machine import processes
    from ..sources.schema import read_table_named

    table = "modifications" if options.readout == "texts" else "clips"
    only = ["text"] if table == "modifications" else ["clip_id", "path"]
    rows, chosen = read_table_named(options.benchmark, table, only), get_profile(options.profile)
    weights = options.weights or getattr(chosen, f"{options.encoder}_weights", chosen.clip_weights)
    encoder = load_encoder(options.encoder, weights).to(processes.device())
    compute = Compute(options.batch, options.precision, options.workers)
    given = {"store_dir": options.out, "compute": compute}
    if options.readout == "texts":
        said = f"{len(embed_texts(encoder, rows['text'].tolist(), **given))} texts are embedded."
    else:
        embedded = embed_clips(
            encoder,
            rows,
            options.clips or options.benchmark,
            frames=options.frames or getattr(encoder, "num_frames", chosen.frames),
            policy=options.policy or getattr(encoder, "policy", "centre"),
            readout=options.readout,
            shard=options.shard,
            **given,
        )
        for clip_id, reason in embedded.missing.items() if processes.is_main() else ():
            print(f"{clip_id}: {reason}", file=sys.stderr)
        said = f"{len(embedded.clip_ids)} clips are embedded, {len(embedded.missing)} could not be read."
    if processes.is_main():
        print(said)


@verb(
    "pretrain clip",
    "train the small CLIP of the rendered benchmark: three quarters of an hour on two cores",
    OUT,
    option("--steps", type=whole(1), help="training steps"),
    option("--sources", type=whole(1), help="source videos to render pictures from"),
)
def pretrain_clip(options: argparse.Namespace) -> None:
    """Train the small CLIP and write its card."""
    from ..training.pretraining.mini_clip import run

    print(json.dumps(run(options.out, options.steps, options.sources), indent=1))


@verb(
    "pretrain blip",
    "train the small BLIP, captioner and BLIP-2 of the rendered benchmark: half an hour on two cores",
    option("--out", type=Path, required=True, help="folder to write a folder a model into"),
    option("--steps", type=whole(1), help="training steps of BLIP and captioner"),
    option("--qformer-steps", type=whole(1), help="training steps of BLIP-2's Q-Former"),
    option("--sources", type=whole(1), help="source videos to render pictures from"),
)
def pretrain_blip(options: argparse.Namespace) -> None:
    """Train the small models of BLIP's kind."""
    from ..training.pretraining.mini_blip import run

    print(json.dumps(run(options.out, options.steps, options.qformer_steps, options.sources), indent=1))


@verb(
    "teach",
    "stage 1: teach an encoder to classify the benchmark's labels",
    BENCHMARK,
    CLIPS,
    option("--recipe", default="aim", help="aim is the paper's; `list` prints all"),
    WEIGHTS,
    profile(),
    SEED,
    OUT,
    RESUME,
    SET,
)
def teach(options: argparse.Namespace) -> None:
    """Train an encoder from video and labels."""
    from ..benchmark import Benchmark
    from ..machine import processes
    from ..machine.files import replacing, write_json
    from ..training.kinds import change
    from ..training.recipes import RECIPES, default_settings
    from ..training.teaching import TrainingClips, learn

    if options.recipe == "list":
        print(*(f"{name}: {one.about}" for name, one in RECIPES.items()), sep="\n")
        return
    if options.recipe not in RECIPES:
        raise ValueError(f"recipe {options.recipe!r} is not known; choose one of {', '.join(RECIPES)}.")
    chosen, recipe = get_profile(options.profile), RECIPES[options.recipe]
    settings = change(default_settings(recipe, chosen), options.set)
    if fixed := [text for text in options.set if text.partition("=")[0] in dict(recipe.changes)]:
        raise ValueError(
            f"--set {fixed[0]} has no effect, since the recipe {options.recipe} sets that itself; "
            "choose another recipe, or leave it out."
        )
    benchmark, clips_dir = Benchmark.load(options.benchmark), options.clips or options.benchmark
    given = TrainingClips(benchmark, clips_dir, chosen, options.weights)
    place = {"seed": options.seed, "folder": options.out, "resume": options.resume}
    learned = learn(options.recipe, given, settings=settings, progress=True, **place)
    if processes.is_main():
        with replacing(options.out / "curve.csv") as temporary:
            learned.curve.to_csv(temporary, index=False)
        record = provenance(chosen, options.seed, processes=processes.world_size(), **learned.facts)
        write_json(record, options.out / "run.json")
        print(f"written to {options.out}; top-1 on val {100 * learned.curve['val_top1'].max():.2f}")


@verb(
    "train",
    "stage 2: train the fusion of clip and instruction by contrast, on embeddings",
    option("--benchmark", type=Path, help="folder of the benchmark's tables; or give --release"),
    option("--release", type=Path, help="folder of the authors' CSVs and embeddings: needs no videos"),
    CLIPS,
    option("--encoder", default="clip", help="of the benchmark's clips and texts"),
    option("--protocol", default="full", help="whose mAP@50 on val chooses the step"),
    option(
        "--embeddings",
        type=Path,
        help="file or folder of the authors' embeddings (default: the release's AIM)",
    ),
    option("--text-weights", help="BERT of a trained text tower or of the release: hub id or folder"),
    option("--checkpoint", type=Path, help="score this official stage-2 checkpoint in place of training"),
    WEIGHTS,
    profile(None, "default: mini, or released with --release"),
    SEED,
    OUT,
    RESUME,
    SET,
)
def train(options: argparse.Namespace) -> None:
    """Train stage 2 on a benchmark, or on the authors' release."""
    if (options.benchmark is None) == (options.release is None):
        raise ValueError("give either --benchmark or --release, one of the two.")
    _train_on_release(options) if options.release else _train_on_benchmark(options)


def _train_on_release(options: argparse.Namespace) -> None:
    from ..machine import processes
    from ..training import from_release
    from ..training.kinds import change
    from ..training.settings import STAGE2
    from ..training.towers import BERT

    scores = from_release.run(
        options.release,
        options.out,
        change(STAGE2[get_profile(options.profile or "released").name], options.set),
        options.seed,
        embeddings=options.embeddings,
        text_weights=options.text_weights or BERT,
        checkpoint=options.checkpoint,
        resume=options.resume,
        progress=True,
    )
    for protocol, values in scores.items() if processes.is_main() else ():
        print(f"{protocol:<9}" + "  ".join(f"{name} {value:.2f}" for name, value in values.items()))


def _train_on_benchmark(options: argparse.Namespace) -> None:
    from ..benchmark import Benchmark
    from ..embedding.embed import embed_texts
    from ..encoders import load_encoder
    from ..machine import processes
    from ..machine.files import write_json, write_table
    from ..training.kinds import change
    from ..training.loop import Run
    from ..training.settings import STAGE2
    from ..training.stage2 import fit_fusion
    from ..training.stage2_inputs import from_encoder, token_reader
    from ..training.towers import BERT, load_text_tower

    chosen, device = get_profile(options.profile or "mini"), processes.device()
    settings = change(STAGE2[chosen.name], options.set)
    encoder = load_encoder(options.encoder, options.weights or chosen.clip_weights).to(device)
    text = {}
    if settings.text_tower == "trained":
        weights = options.text_weights or BERT
        text = {"read": token_reader(weights), "tower": load_text_tower(weights).to(device)}
    elif options.encoder == "aim":  # AIM reads no text; the CLIP below it does, as in AIM's rows
        clip = load_encoder("clip", chosen.clip_weights, read_out="pooled").to(device)
        text = {"read": lambda texts: embed_texts(clip, texts)}
    benchmark = Benchmark.load(options.benchmark)
    inputs = from_encoder(benchmark, encoder, options.clips or options.benchmark, chosen.frames, **text)
    run = Run(options.out / "checkpoint.pt", options.resume, progress=True)
    validate = inputs.validator(options.protocol)
    fusion, history = fit_fusion(inputs.training_data(), settings, options.seed, validate, run=run)
    if not processes.is_main():
        return
    fusion.save_pretrained(options.out / "fusion")
    write_table(history, options.out / "history.parquet")
    facts = {"settings": vars(settings), "encoder": encoder.identity, "coverage": inputs.coverage}
    record = provenance(chosen, options.seed, processes=processes.world_size(), **facts)
    write_json(record, options.out / "run.json")
    best = 100 * history["val"].max()
    print(f"written to {options.out}; mAP@50 on val {best:.2f}, protocol {options.protocol}")
