"""Profiles: how much of everything a run takes; and where its files live.

A profile is plain data. Variants come from `dataclasses.replace`, so a misspelt field is an error.
"""

import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Profile:
    """One size of a run. Tuples hold one number for each of train, val and test."""

    name: str
    frames: int = 12  # frames of a clip that an encoder sees
    image_size: int = 64  # pixels, square
    clips_per_label: tuple[int, int, int] | None = None  # rendered benchmarks only
    sources_per_split: tuple[int, int, int] | None = (
        None  # source videos of gymnastics, and as many of diving
    )
    clip_weights: str = (
        "data/weights/mini-clip"  # of the frozen CLIP: a folder below the project's root, or a hub id
    )
    blip_weights: str = "data/weights/mini-blip"  # these three stand for models that others taught on the web
    blip2_weights: str = "data/weights/mini-blip2"
    captioner_weights: str = "data/weights/mini-captioner"
    languagebind_weights: str = "LanguageBind/LanguageBind_Video_FT"
    gme_weights: str = (
        "Alibaba-NLP/gme-Qwen2-VL-2B-Instruct"  # of these five nothing small stands in for the published ones
    )
    e5_v_weights: str = "royokong/e5-v"
    mm_embed_weights: str = "nvidia/MM-Embed"
    qwen3_vl_embedding_weights: str = "Qwen/Qwen3-VL-Embedding-2B"
    siglip2_weights: str = "google/siglip2-so400m-patch16-naflex"
    labels: str = "mini"  # which list of rendered skills: smoke, mini, sim
    long_tail: bool = False  # labels as unequal as FineGym's instead of equal
    probe_epochs: int = 12  # how long notebook 01 looks for shortcuts
    render_seed: int = 0  # the data's seed; a run's seed is another thing


_PUBLISHED = {
    "image_size": 224,
    "clip_weights": "openai/clip-vit-base-patch16",
    "blip_weights": "data/weights/webvid-covr.ckpt",
    "blip2_weights": "Salesforce/blip2-itm-vit-g-coco",
    "captioner_weights": "Salesforce/blip-image-captioning-large",
}
PROFILES = {
    "smoke": Profile(
        "smoke",
        frames=8,
        clips_per_label=(24, 4, 4),
        sources_per_split=(30, 6, 6),
        labels="smoke",
        probe_epochs=1,
    ),
    "mini": Profile("mini", clips_per_label=(100, 8, 6), sources_per_split=(200, 16, 16)),
    "sim": Profile(
        "sim", clips_per_label=(90, 10, 14), sources_per_split=(150, 18, 18), labels="sim", long_tail=True
    ),
    "released": Profile("released", **_PUBLISHED),
    "paper": Profile("paper", **_PUBLISHED),
}


def get_profile(name: str) -> Profile:
    """Look a profile up; an unknown name lists the known ones."""
    if name not in PROFILES:
        raise ValueError(f"profile {name!r} is not known; choose one of {', '.join(PROFILES)}.")
    return PROFILES[name]


def data_dir() -> Path:
    """The folder of benchmarks, embeddings and other people's files: $TFCOVR_DATA, else data/."""
    return Path(os.environ.get("TFCOVR_DATA") or ROOT / "data")


def annotations_dir(given: str | None = None) -> Path:
    """The folder of annotation files: as given, else $TFCOVR_ANNOTATIONS, else data/annotations."""
    return Path(given or os.environ.get("TFCOVR_ANNOTATIONS") or data_dir() / "annotations")


def clips_dir(given: str | Path | None = None) -> Path:
    """The folder that clips' paths start from: as given, else $TFCOVR_CLIPS, else data/videos/clips."""
    return Path(given or os.environ.get("TFCOVR_CLIPS") or data_dir() / "videos" / "clips")


RENDERED = ("mini", "smoke", "sim")  # sources that render themselves, each with the profile of its name


def default_profile(source: str) -> str:
    """The profile that a source takes where none is named.

    >>> default_profile("smoke"), default_profile("tfcovr")
    ('smoke', 'mini')
    """
    return source if source in (*RENDERED, "released") else "mini"


def runs_dir(profile: Profile, source: str = "mini") -> Path:
    """Where a run's executed notebooks, figures and results go: below $TFCOVR_RUNS, else runs/.

    A rendering from another seed and each other source have folders of their own, so that what is published
    for a profile is that profile's.
    """
    name = profile.name if source in RENDERED else source
    name += f"-render{profile.render_seed}" if profile.render_seed else ""
    return Path(os.environ.get("TFCOVR_RUNS") or ROOT / "runs") / name


def code_revision() -> str:
    """Git revision of the code, with `+` when files differ from it; `unknown` outside a clone."""
    try:
        described = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=10"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def provenance(profile: Profile, seed: int | None = None, **parameters) -> dict:
    """What is saved beside every result: the resolved profile, the seed, other parameters, the revision."""
    return {"profile": asdict(profile), "seed": seed, **parameters, "revision": code_revision()}
