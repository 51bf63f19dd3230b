"""Train on a benchmark, or on the official release.

    python -m tfcovr_utils.training stage1 --benchmark DIR --profile mini --seed 0 --out DIR
    python -m tfcovr_utils.training stage2 --benchmark DIR --profile mini --seed 0 --out DIR
    python -m tfcovr_utils.training stage2 --release DIR --profile released --out DIR
    accelerate launch --multi_gpu --num_processes 2 -m tfcovr_utils.training stage1 --benchmark DIR --out DIR

The third needs no video: it trains on the released embeddings and scores the released test queries, or scores an
official checkpoint given with --checkpoint. Results are the same for the same seed, a resumed run's too. Several processes,
on GPUs of one or more machines or without any, share each batch, whose size stays that of the settings.
"""

import argparse
import sys
from pathlib import Path

from ..benchmark.benchmark import Benchmark
from ..embedding.embed import embed_texts
from ..encoders import ENCODERS, load_encoder
from ..machine import processes
from ..machine.files import replacing, write_json, write_table
from ..profiles import get_profile, provenance
from . import from_release as released
from .recipes import RECIPES, default_settings, learn
from .settings import STAGE2, change
from .stage2 import fit_fusion
from .stage2_inputs import from_encoder, token_reader
from .towers import BERT, load_text_tower


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tfcovr_utils.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stages = parser.add_subparsers(dest="stage", required=True)
    stage1 = stages.add_parser("stage1", help="an encoder of clips by classification, from video")
    stage1.set_defaults(run=_stage1)
    stage1.add_argument("--benchmark", type=Path, required=True, help="folder of its tables")
    stage1.add_argument(
        "--recipe",
        default="aim",
        choices=RECIPES,
        help="; ".join(f"{name}: {one.about}" for name, one in RECIPES.items()),
    )
    stage2 = stages.add_parser("stage2", help="fusion by contrast, on embeddings")
    stage2.set_defaults(run=_stage2)
    read = stage2.add_mutually_exclusive_group(required=True)
    read.add_argument("--benchmark", type=Path, help="folder of its tables")
    read.add_argument("--release", type=Path, help="folder of the official CSVs and embeddings")
    stage2.add_argument(
        "--encoder", default="clip", choices=ENCODERS, help="of the benchmark's clips and texts"
    )
    stage2.add_argument(
        "--protocol", default="full", help="whose val mAP@50 chooses the step, on a benchmark"
    )
    stage2.add_argument(
        "--embeddings",
        type=Path,
        help="file or folder of released embeddings; default: the AIM file of the release",
    )
    stage2.add_argument(
        "--text-weights",
        default=BERT,
        help="BERT of the release's texts, or of a trained tower: hub id or folder",
    )
    stage2.add_argument(
        "--checkpoint", type=Path, help="an official stage-2 checkpoint to score instead of training"
    )
    for stage in (stage1, stage2):
        stage.add_argument(
            "--clips",
            type=Path,
            help="where the paths of the benchmark's clips begin; default: the benchmark's folder",
        )
        stage.add_argument("--weights", help="the encoder's, hub id or folder; default: the profile's CLIP")
        stage.add_argument("--profile", help="default: mini, or released with --release")
        stage.add_argument("--seed", type=int, default=0)
        stage.add_argument("--out", type=Path, required=True)
        stage.add_argument(
            "--resume", action="store_true", help="go on from the checkpoint in --out, if there is one"
        )
        stage.add_argument(
            "--set",
            nargs="*",
            default=[],
            metavar="KEY=VALUE",
            help="settings that differ from the profile's",
        )
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (OSError, ValueError) as error:
        sys.exit(str(error))


def _stage1(options: argparse.Namespace) -> None:
    profile = get_profile(options.profile or "mini")
    settings = change(default_settings(RECIPES[options.recipe], profile), options.set)
    if fixed := [
        text for text in options.set if text.partition("=")[0] in dict(RECIPES[options.recipe].changes)
    ]:
        raise ValueError(
            f"--set {fixed[0]} has no effect: the recipe {options.recipe} sets that itself; take another recipe, or leave it out."
        )
    learned = learn(
        options.recipe,
        Benchmark.load(options.benchmark),
        options.clips or options.benchmark,
        profile,
        options.seed,
        options.out,
        settings=settings,
        clip_weights=options.weights,
        resume=options.resume,
        progress=True,
    )
    if not processes.is_main():
        return
    with replacing(options.out / "curve.csv") as temporary:
        learned.curve.to_csv(temporary, index=False)
    write_json(
        provenance(profile, options.seed, processes=processes.world_size(), **learned.facts),
        options.out / "run.json",
    )
    print(f"written to {options.out}; top-1 on val {100 * learned.curve['val_top1'].max():.2f}")


def _stage2(options: argparse.Namespace) -> None:
    profile = get_profile(options.profile or ("released" if options.release else "mini"))
    settings = change(STAGE2[profile.name], options.set)
    device = processes.device()
    if options.release is not None:
        scores = released.run(
            options.release,
            options.out,
            settings,
            options.seed,
            embeddings=options.embeddings,
            text_weights=options.text_weights,
            checkpoint=options.checkpoint,
            resume=options.resume,
            device=device,
            progress=True,
        )
        for protocol, values in scores.items() if processes.is_main() else ():
            print(f"{protocol:<9}" + "  ".join(f"{name} {value:.2f}" for name, value in values.items()))
        return
    encoder = load_encoder(options.encoder, options.weights or profile.clip_weights).to(device)
    text = {}
    if settings.text_tower == "trained":
        text = {
            "read": token_reader(options.text_weights),
            "tower": load_text_tower(options.text_weights).to(device),
        }
    elif options.encoder == "aim":  # which reads no text; as in its rows, the CLIP that it was made from does
        clip = load_encoder("clip", profile.clip_weights, read_out="pooled").to(device)
        text = {"read": lambda texts: embed_texts(clip, texts)}
    inputs = from_encoder(
        Benchmark.load(options.benchmark), encoder, options.clips or options.benchmark, profile.frames, **text
    )
    fusion, history = fit_fusion(
        inputs.query_video,
        inputs.texts,
        inputs.target,
        inputs.triplets(),
        settings,
        options.seed,
        inputs.validator(options.protocol),
        tower=inputs.tower,
        target_labels=inputs.target_labels(),
        checkpoint=options.out / "checkpoint.pt",
        resume=options.resume,
        progress=True,
    )
    if not processes.is_main():
        return
    fusion.save_pretrained(options.out / "fusion")
    write_table(history, options.out / "history.parquet")
    told = {
        "settings": vars(settings),
        "encoder": encoder.identity,
        "coverage": inputs.coverage,
        "processes": processes.world_size(),
    }
    write_json(provenance(profile, options.seed, **told), options.out / "run.json")
    print(
        f"written to {options.out}; val mAP@50 {100 * history['val'].max():.2f} by protocol {options.protocol}"
    )


if __name__ == "__main__":
    main()
