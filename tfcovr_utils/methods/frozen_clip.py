"""Rows on frozen CLIP features: one input alone, unit averages, and the paper's MLP trained on top.

A gallery clip is the mean of its frames under every row; "1" means that the query shows one frame.
"""

from functools import partial

from .base import Method
from .features import Features
from .fits import fit_mlp, fit_zero_shot

_TARGET = "a gallery clip is the unit mean of its frames' CLIP features"
_AVERAGE = "A query is the average of two unit CLIP features, of its text and its clip's {}; " + _TARGET + "."
_MLP = "A query is the stage-2 MLP of its text and its clip's {}, on frozen CLIP features; " + _TARGET + "."
CLIP_ROWS = (
    Method(
        "video-only",
        "control",
        f"A query is its clip alone, as {_TARGET}.",
        partial(fit_zero_shot, make=Features, video="clips", text=False),
        seeded=False,
    ),
    Method(
        "text-only-zs",
        "control",
        f"A query is the CLIP text feature of its modification alone; {_TARGET}.",
        partial(fit_zero_shot, make=Features, video=None, text=True),
        seeded=False,
    ),
    Method(
        "text-only",
        "control",
        "As clip-mlp-15, trained alike, with zeros in place of the query clip.",
        partial(fit_mlp, make=Features, video="clips", use_video=False),
        seeded=True,
    ),
    Method(
        "clip-avg-1-zs",
        "zero-shot",
        _AVERAGE.format("middle frame"),
        partial(fit_zero_shot, make=Features, video="middle", text=True),
        seeded=False,
    ),
    Method(
        "clip-avg-zs",
        "zero-shot",
        _AVERAGE.format("mean frame"),
        partial(fit_zero_shot, make=Features, video="clips", text=True),
        seeded=False,
    ),
    Method(
        "clip-mlp-1",
        "fine-tuned",
        _MLP.format("middle frame"),
        partial(fit_mlp, make=Features, video="middle"),
        seeded=True,
    ),
    Method(
        "clip-mlp-15",
        "fine-tuned",
        _MLP.format("mean frame"),
        partial(fit_mlp, make=Features, video="clips"),
        seeded=True,
    ),
)
