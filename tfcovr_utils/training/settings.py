"""What stage 2 is trained with, and the settings of each profile.

`paper` is the paper's words: the text tower frozen, beta 0. Where the released code departs from them, the
option says so; `dataclasses.replace` or `--set key=value` chooses it.
"""

import ast
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches

import pandas as pd

from .losses import TEMPERATURE

CHOICES = {
    "loss": ("info_nce", "hn_nce", "hn_nce_official", "multi_positive"),
    "schedule": ("cosine_epoch", "cosine", "constant"),
    "text_tower": ("frozen", "trained"),
    "precision": ("float32", "bf16"),
}


@dataclass(frozen=True)
class Stage2Settings:
    """Settings of stage 2; the defaults are the paper's, those it does not give the official code's."""

    loss: str = (
        "info_nce"  # at beta 0 the paper's hn_nce; hn_nce_official is the released code's other formula
    )
    beta: float = 0.0  # of the hn_nce losses; the released configuration says .5, the paper's best is 0
    pull_all: bool = (
        False  # multi_positive: attract to every right answer of the batch, instead of only sparing them
    )
    temperature: float = TEMPERATURE
    lr: float = 1e-5
    weight_decay: float = 0.05  # of all parameters, biases too, as officially
    batch: int = 512
    epochs: int = 5  # released configuration; its README tests with 100
    steps: int = 0  # instead of epochs, where above 0
    schedule: str = "cosine_epoch"  # to 0, the rate held for an epoch (official), or step by step (cosine)
    warmup: int = 0  # steps of linear warm-up
    projection_dim: int = 3072
    hidden_dim: int = 6144
    dropout: float = 0.5
    text_tower: str = "frozen"  # the paper's words; the released code trains it
    train_words: bool = False  # a trained tower's word embeddings too; officially tied to a frozen head
    centre: bool = False  # take the training means from clips, targets and text features
    unit_video: bool = False  # the query's clip vector unit instead of raw
    use_video: bool = True  # False: a control that reads the text alone
    use_text: bool = True  # False: a control that sees the clip alone
    select_every: int = 0  # steps between validations; 0 is an epoch
    precision: str = (
        "float32"  # bf16: mixed precision, as the official 16-mixed but with a range that needs no scaling
    )

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(choices)}.")
        for name in ("batch", "lr", "temperature", "projection_dim", "hidden_dim"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number above 0.")


_SMALL = Stage2Settings(
    lr=1e-3,
    batch=256,
    steps=500,
    schedule="cosine",
    projection_dim=256,
    hidden_dim=512,
    dropout=0.3,
    centre=True,
    unit_video=True,
    select_every=50,
)
STAGE2 = {
    "smoke": replace(_SMALL, batch=64, steps=100, select_every=20),
    "mini": _SMALL,
    "sim": replace(_SMALL, batch=512, steps=3000, select_every=250),
    "released": Stage2Settings(),
    "paper": Stage2Settings(),
}
# Of models that read clip and text together; "paper" is CoVR's and the paper's.
_SMALL_COMPOSED = Stage2Settings(
    lr=1e-3, batch=64, steps=300, schedule="cosine", warmup=20, centre=True, select_every=50
)
COMPOSED = {
    "smoke": replace(_SMALL_COMPOSED, batch=32, steps=40, select_every=20),
    "mini": _SMALL_COMPOSED,
    "sim": replace(_SMALL_COMPOSED, batch=256, steps=3000, select_every=250),
    "released": Stage2Settings(),
    "paper": Stage2Settings(),
}


def change(settings, changes: list[str]):
    """Apply `key=value` strings to settings of either stage; a value must be of the kind of the one it replaces."""
    known = {f.name: getattr(settings, f.name) for f in fields(settings)}
    changed = {}
    for text in changes:
        key, _, value = text.partition("=")
        if key not in known:
            close = get_close_matches(key, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(known)}."
            raise ValueError(f"{key!r} is no setting of this stage; {hint}")
        kind = type(known[key])
        try:
            read = value if kind is str else ast.literal_eval(value)
        except (ValueError, SyntaxError):
            read = None
        if kind is float and type(read) is int:
            read = float(read)
        if type(read) is not kind:
            raise ValueError(
                f"{text!r} is not a value of {key}; it is of kind {kind.__name__}, such as {key}={known[key]}."
            )
        changed[key] = read
    return replace(settings, **changed)


# Where the paper's words and its released code part.
_PAPER_AND_CODE = [
    (
        "hard-negative loss",
        "each row weighted by its own negatives",
        "a row's weights are divided by the sums of other rows",
        "loss=hn_nce_official",
    ),
    ("beta", "0 is best and the method's", "0.5 by default", "beta=0.5"),
    (
        "text encoder",
        "BLIP-2's, frozen",
        "the Q-Former's text branch from BERT-base, trained",
        "text_tower=trained",
    ),
    (
        "word embeddings",
        "frozen with the tower",
        "tied to a frozen head, so frozen",
        "train_words=True trains them",
    ),
    (
        "query clip",
        "the stage-1 vector",
        "the vector as it is, not unit",
        "unit_video=True makes it unit (default at mini's size)",
    ),
    ("means", "not taken off", "not taken off", "centre=True takes them off (default at mini's size)"),
    (
        "learning rate",
        "cosine",
        "cosine from epoch to epoch, held within one",
        "schedule=cosine_epoch, or cosine for step by step",
    ),
    ("epochs", "not given", "5 in the configuration, 100 in the README", "epochs=100"),
    (
        "gallery",
        "several right answers each",
        "the column of one target a query, repetitions kept",
        "protocol official",
    ),
]


def paper_and_code() -> pd.DataFrame:
    """Where the paper's words and its released code part, and the option here that follows the code."""
    return pd.DataFrame(
        _PAPER_AND_CODE, columns=["what", "the paper says", "the released code does", "option here"]
    )
