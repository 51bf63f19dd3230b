"""The official TF-CoVR stage-2 checkpoints, read without running any code that they name.

A file is {"epoch", "model", "optimizer", "scheduler"}, the last a pickled object of the official code.
"""

from pathlib import Path

from ..encoders.key_maps import rename
from ..encoders.loading import HEAD_WIDTH, count_layers, fill, read_shapes, read_tensors
from .fusion import Fusion
from .towers import QFORMER_TEXT, TextTower, tower_config

EXPECTED = "the `model` of an official stage-2 checkpoint, AIMCir's best_val_*.ckpt"
# Names in the official files -> names in `Fusion`; None for weights that no query meets.
UNUSED = r".*position_ids|.*crossattention.*|.*_query\..*|Qformer\.cls\..*|vision_proj\..*|query_tokens|temp"
STAGE2 = [
    (UNUSED, None),
    *((pattern, f"tower.{name}") for pattern, name in QFORMER_TEXT),
    (r"text_proj\.(\w+)", r"text_projection.\1"),
    (r"(combiner\..+)", r"\1"),
]
SIZES = (  # weights whose shapes give the sizes of the model
    "tower.embeddings.word_embeddings.weight",
    "tower.embeddings.position_embeddings.weight",
    "tower.qformer.encoder.layer.0.intermediate.dense.weight",
    "combiner.combiner_layer.weight",
    "text_projection.weight",
)


def load_stage2(path: Path, heads: int | None = None) -> Fusion:
    """Load an official stage-2 checkpoint as a Fusion with its text tower, in eval mode.

    heads: of the text tower, by default its width / 64; all other sizes are read off the weights.
    """
    state, unknown = rename(read_tensors(path), STAGE2)
    shapes = read_shapes(state, SIZES, str(path), EXPECTED)
    if flat := [name for name, shape in zip(SIZES, shapes) if len(shape) != 2 or not all(shape)]:
        raise ValueError(f"{path} holds {flat[0]} without rows and columns; pass {EXPECTED}.")
    words, positions, inner, hidden, projection = shapes
    sizes = {"vocab_size": words[0], "hidden_size": words[1], "intermediate_size": inner[0]}
    sizes["num_hidden_layers"] = count_layers(state, "tower.qformer.encoder.layer")
    sizes["num_attention_heads"] = heads or max(words[1] // HEAD_WIDTH, 1)
    tower = TextTower(tower_config(**sizes, max_position_embeddings=positions[0]))
    fusion = Fusion(*projection, hidden[1] // 2, hidden[0], tower=tower)
    means = {name: value for name, value in fusion.named_buffers() if name.endswith("_mean")}
    fill(fusion, state | means, unknown, str(path), EXPECTED)
    return fusion.eval()
