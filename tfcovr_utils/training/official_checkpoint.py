"""The official TF-CoVR stage-2 checkpoints, read without running anything that they name.

A file is {"epoch", "model", "optimizer", "scheduler"}, the last a pickled object of the official code.
"""

import re
from pathlib import Path

import torch

from ..encoders.key_maps import rename
from ..encoders.loading import read_tensors
from .fusion import Fusion
from .towers import QFORMER_TEXT, TextTower, tower_config

# The keys that a query needs -> names in `Fusion`.
STAGE2 = [(pattern, f"tower.{name}") for pattern, name in QFORMER_TEXT] + [
    (r"text_proj\.(\w+)", r"text_projection.\1"),
    (r"(combiner\..+)", r"\1"),
]
# Keys that stand in every official file and that no query meets.
DEAD = re.compile(
    r"position_ids$|crossattention|_query\.|^Qformer\.cls\.|^vision_proj\.|^query_tokens$|^temp$"
)
HEAD_WIDTH = 64  # of BERT; no weight tells how many heads there are


def load_stage2(path: Path, heads: int | None = None) -> tuple[Fusion, dict[str, list[str]]]:
    """Load an official stage-2 checkpoint as a Fusion with its text tower, in eval mode.

    Also returns what became of each key: {"used": [...], "dead": [...]}. Sizes are read off the weights;
    `heads` of the text tower is its width / 64 unless given.
    """
    weights = read_tensors(path)
    dead = sorted(key for key in weights if DEAD.search(key))
    live = {key: value for key, value in weights.items() if key not in set(dead)}
    state, unknown = rename(live, STAGE2)
    fusion = _empty_fusion(state, heads, path)
    own = fusion.state_dict()
    missing = sorted(
        set(own) - set(state) - {"video_mean", "target_mean", "text_mean"}
    )  # the official path has no means
    unknown += sorted(set(state) - set(own))
    if missing or unknown:
        raise ValueError(
            f"{path} is no official stage-2 checkpoint: {len(missing)} weights are missing ({', '.join(missing[:5])}) and "
            f"{len(unknown)} are not known ({', '.join(unknown[:5])}); expected the `model` of an AIMCir best_val_*.ckpt."
        )
    fusion.load_state_dict(own | state)
    return fusion.eval(), {"used": sorted(live), "dead": dead}


def _empty_fusion(state: dict[str, torch.Tensor], heads: int | None, path: Path) -> Fusion:
    """A Fusion of the sizes of these weights."""
    try:
        vocabulary, width = state["tower.embeddings.word_embeddings.weight"].shape
        layers = [
            int(found[1])
            for key in state
            if (found := re.match(r"tower\.qformer\.encoder\.layer\.(\d+)\.", key))
        ]
        config = tower_config(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=max(layers) + 1,
            num_attention_heads=heads or max(width // HEAD_WIDTH, 1),
            intermediate_size=len(state["tower.qformer.encoder.layer.0.intermediate.dense.weight"]),
            max_position_embeddings=len(state["tower.embeddings.position_embeddings.weight"]),
        )
        hidden_dim, both = state["combiner.combiner_layer.weight"].shape
        video_dim, text_dim = state["text_projection.weight"].shape
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is no official stage-2 checkpoint: {error} is not in it; expected the `model` of an AIMCir best_val_*.ckpt."
        ) from error
    return Fusion(video_dim, text_dim, both // 2, hidden_dim, tower=TextTower(config))
