"""Methods on frozen CLIP features: one input alone, unit averages, and the paper's MLP trained on top.

A gallery clip is the mean of its frames; "1" in a name means that the query shows one frame.
"""

from functools import partial

from .base import Method
from .features import Features
from .fits import fit_mlp, fit_zero_shot

_zero_shot = partial(fit_zero_shot, make=Features)
_mlp = partial(fit_mlp, make=Features)
_trained = partial(Method, seeded=True)
_TARGET = "a gallery clip is the unit mean of its frames' CLIP features"
_ALONE = "A query is {} alone; " + _TARGET + "."
_AVERAGE = "A query is the average of two unit CLIP features, of its text and its clip's {}; " + _TARGET + "."
_MLP = "A query is the stage-2 MLP of its text and its clip's {}, on frozen CLIP features; " + _TARGET + "."
_TEXT_ONLY = "The MLP of clip-mlp-15, trained in the same way, with zeros in place of the query clip."

CLIP_ROWS = (
    Method(
        "video-only",
        "control",
        _ALONE.format("the unit mean of its clip's frames"),
        partial(_zero_shot, video="clips", text=False),
    ),
    Method("text-only-zs", "control", _ALONE.format("its text's feature"), partial(_zero_shot, video=None)),
    _trained("text-only", "control", _TEXT_ONLY, partial(_mlp, use_video=False)),
    Method(
        "clip-avg-1-zs", "zero-shot", _AVERAGE.format("middle frame"), partial(_zero_shot, video="middle")
    ),
    Method("clip-avg-zs", "zero-shot", _AVERAGE.format("mean frame"), partial(_zero_shot, video="clips")),
    _trained("clip-mlp-1", "fine-tuned", _MLP.format("middle frame"), partial(_mlp, video="middle")),
    _trained("clip-mlp-15", "fine-tuned", _MLP.format("mean frame"), partial(_mlp, video="clips")),
)
