"""Labels: every published one parses without residue, and what is read is right."""

import dataclasses
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfcovr_utils.labels import Attributes, Change, difference, label_text, parse_label

ANNOTATIONS = os.environ.get("TFCOVR_ANNOTATIONS")
needs_annotations = pytest.mark.skipif(
    not ANNOTATIONS, reason="TFCOVR_ANNOTATIONS is not set to the folder of annotation files"
)


def without_defaults(attributes: Attributes) -> dict:
    values = dataclasses.asdict(attributes)
    defaults = {f.name: f.default for f in dataclasses.fields(Attributes)}
    return {name: value for name, value in values.items() if value != defaults[name]}


def published_texts(name: str) -> list[str]:
    lines = (Path(ANNOTATIONS) / name).read_text(encoding="utf-8").splitlines()
    return [re.sub(r"^.*?(?=\([A-Z]{2}\))", "", line) for line in lines]


SALTO = {"family": "salto", "base": "salto", "saltos": 1.0}
TURN = {"family": "turn", "base": "turn"}
LEAP = {"family": "leap"}
VAULT = {"family": "vault", "saltos": 1.0, "apparatus": "VT"}
DIVE = {"family": "dive", "base": "dive", "apparatus": "DV"}
BY_HAND = {
    "(FX) salto backward stretched with 1.5 twist": SALTO
    | {"direction": "backward", "shape": "stretched", "rotation": 1.5},
    "(FX) double salto backward tucked with 1 twist": SALTO
    | {"saltos": 2.0, "direction": "backward", "shape": "tucked", "rotation": 1.0},
    "(FX) triple salto backward tucked": SALTO | {"saltos": 3.0, "direction": "backward", "shape": "tucked"},
    "(BB) salto backward piked": SALTO | {"apparatus": "BB", "direction": "backward", "shape": "piked"},
    "(BB) arabian salto tucked (take-off backward with 0.5 twist, salto forward)": SALTO
    | {"apparatus": "BB", "entry": "arabian", "direction": "forward", "shape": "tucked"},
    "(BB) gainer salto stretched with legs together at end of the beam": SALTO
    | {
        "apparatus": "BB",
        "entry": "gainer",
        "direction": "backward",
        "shape": "stretched",
        "finish": "end of beam",
    },
    "(BB) jump forward with 0.5 twist and salto backward tucked": SALTO
    | {
        "apparatus": "BB",
        "entry": "jump forward",
        "entry_turn": 0.5,
        "direction": "backward",
        "shape": "tucked",
    },
    "(UB) (swing forward) double salto backward stretched with 1 turn": SALTO
    | {
        "apparatus": "UB",
        "entry": "swing forward",
        "saltos": 2.0,
        "direction": "backward",
        "shape": "stretched",
        "rotation": 1.0,
    },
    "(UB) (swing forward) salto with 0.5 turn into salto forward tucked": SALTO
    | {
        "apparatus": "UB",
        "entry": "swing forward",
        "saltos": 2.0,
        "direction": "forward",
        "shape": "tucked",
        "rotation": 0.5,
        "modifiers": ("turn between saltos",),
    },
    "(UB) (swing forward) 0.5 turn to double salto forward piked": SALTO
    | {
        "apparatus": "UB",
        "entry": "swing forward",
        "entry_turn": 0.5,
        "saltos": 2.0,
        "direction": "forward",
        "shape": "piked",
    },
    "(UB) giant circle backward with hop 1 turn to handstand": {
        "apparatus": "UB",
        "family": "circle",
        "base": "giant circle",
        "direction": "backward",
        "rotation": 1.0,
        "modifiers": ("hop",),
    },
    "(UB) transition flight from low bar to high bar": {
        "apparatus": "UB",
        "family": "flight",
        "base": "transition flight",
        "entry": "low bar",
        "finish": "high bar",
    },
    "(BB) wolf hop or jump (hip angle at 45, knees together)": LEAP
    | {"apparatus": "BB", "base": "jump", "shape": "wolf"},
    "(BB) ring jump (rear foot at head height)": LEAP
    | {"apparatus": "BB", "base": "ring jump", "ring": True},
    "(BB) switch leap with 0.5 turn": LEAP | {"apparatus": "BB", "base": "switch leap", "rotation": 0.5},
    "(BB) split leap forward with 1 turn": LEAP | {"apparatus": "BB", "base": "split leap", "rotation": 1.0},
    "(FX) split leap with 1 turn or more to ring position": LEAP
    | {"base": "split leap", "rotation": 1.0, "or_more": True, "ring": True},
    "(BB) straddle pike jump or side split jump in side position": LEAP
    | {"apparatus": "BB", "base": "side split jump", "modifiers": ("side position",)},
    "(FX) straddle pike or side split jump with 1 turn": LEAP | {"base": "side split jump", "rotation": 1.0},
    "(FX) 2 turn on one leg, free leg optional below horizontal": TURN
    | {"rotation": 2.0, "legs": "below horizontal"},
    "(FX) 1 spin or less on back in kip position, hip and leg are closed": TURN
    | {"base": "back spin", "rotation": 1.0, "modifiers": ("or less",)},
    "(VT) handspring forward on, stretched salto forward with 1.5 turn off": VAULT
    | {"base": "handspring", "direction": "forward", "shape": "stretched", "rotation": 1.5},
    "(VT) round-off, flic-flac with 0.5 turn on, 0.5 turn to piked salto backward off": VAULT
    | {
        "base": "round-off flic-flac",
        "entry_turn": 0.5,
        "direction": "backward",
        "shape": "piked",
        "rotation": 0.5,
        "modifiers": ("turn before salto",),
    },
    "(VT) tsukahara stretched without salto": VAULT
    | {"base": "tsukahara", "saltos": 0.0, "shape": "stretched"},
    "(VT) handspring forward on, no turn off": VAULT | {"base": "handspring", "saltos": 0.0},
    "5152b": DIVE | {"saltos": 2.5, "direction": "forward", "shape": "piked", "rotation": 1.0},
    "203b": DIVE | {"saltos": 1.5, "direction": "backward", "shape": "piked"},
    "401a": DIVE | {"saltos": 0.5, "direction": "inward", "shape": "straight"},
    "636c": DIVE | {"saltos": 3.0, "direction": "reverse", "shape": "tucked", "armstand": True},
    "6245d": DIVE
    | {"saltos": 2.0, "direction": "backward", "shape": "piked", "rotation": 2.5, "armstand": True},
}


@pytest.mark.parametrize("text", BY_HAND)
def test_what_is_read_is_what_the_label_says(text):
    assert without_defaults(parse_label(text)) == {"apparatus": "FX"} | BY_HAND[text]


def test_full_apparatus_names_and_spacing_read_alike():
    short = parse_label("(FX) salto backward piked")
    assert parse_label("(Floor Exercise)  Salto backward   piked ") == short
    assert parse_label("(Balance Beam) split jump") == parse_label("(BB) split jump     ")


@pytest.mark.parametrize("text", ["", "salto backward", "(XX) salto", "12b", "999b", "(DV) 5152b"])
def test_text_of_neither_form_is_refused_with_the_forms_that_are_known(text):
    with pytest.raises(ValueError, match=re.escape(repr(text)) + ".*5152b"):
        parse_label(text)


def test_a_tag_alone_is_refused():
    with pytest.raises(ValueError, match="names no skill"):
        parse_label("(FX) ")


def test_unknown_words_are_residue_and_count_as_a_difference():
    known, unknown = "(FX) salto backward piked", "(FX) salto backward piked upside down"
    assert parse_label(unknown).residue == "upside down"
    assert difference(parse_label(known), parse_label(unknown)) == (Change("residue", "", "upside down"),)
    assert parse_label("(FX) moonwalk").residue == "moonwalk"
    assert parse_label("(FX) switch leap or split leap").residue == "or split leap"
    assert parse_label("(FX) tucked").residue == "tucked"


def test_difference_names_each_change_with_both_values():
    source = parse_label("(FX) salto backward tucked with 1 twist")
    target = parse_label("(BB) double salto backward piked with 1 twist")
    assert difference(source, target) == (
        Change("apparatus", "FX", "BB"),
        Change("saltos", 1.0, 2.0),
        Change("shape", "tucked", "piked"),
    )
    assert difference(source, source) == ()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("407c", "Inward, 3.5 Soms.Tuck, Entry"),
        ("201a", "Back, 0.5 Som.Straight, Entry"),
        ("5152b", "Forward, 1 Twist, 2.5 Soms.Pike, Entry"),
        ("6243d", "Arm.Back, 1.5 Twists, 2 Soms.Pike, Entry"),
        ("636c", "Arm.Reverse, 3 Soms.Tuck, Entry"),
    ],
)
def test_a_dive_is_spelled_as_finediving_spells_it(code, text):
    assert label_text(code) == text


def test_label_text_of_a_gymnastics_text_is_refused():
    with pytest.raises(ValueError, match="not a dive code"):
        label_text("(FX) salto backward piked")


HALVES = st.integers(0, 9).map(lambda n: n / 2)


@given(
    st.sampled_from(["FX", "BB", "UB"]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["forward", "backward"]),
    st.sampled_from(["tucked", "piked", "stretched"]),
    HALVES,
    st.sampled_from(["turn", "twist"]),
)
def test_any_composition_of_a_salto_reads_back(apparatus, saltos, direction, shape, count, word):
    many = {1: "", 2: "double ", 3: "triple "}[saltos]
    swing = "(swing forward) " if apparatus == "UB" else ""
    rotation = f" with {count:g} {word}" if count else ""
    read = parse_label(f"({apparatus}) {swing}{many}salto {direction} {shape}{rotation}")
    assert read == Attributes(
        apparatus=apparatus,
        family="salto",
        base="salto",
        entry="swing forward" if swing else "",
        saltos=float(saltos),
        direction=direction,
        shape=shape,
        rotation=count,
    )


@given(
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from("abcd"),
)
def test_any_dive_code_reads_by_its_digits(group, direction, soms, twists, twisting, position):
    twisting = group == 5 or (group == 6 and twisting)
    digits = f"{group}{'' if group < 5 else direction}{'0' if group < 5 else ''}{soms}"
    dive = parse_label(f"{digits}{twists if twisting else ''}{position}")
    words = ["forward", "backward", "reverse", "inward"]
    assert dive.direction == words[(group if group < 5 else direction) - 1]
    assert (dive.saltos, dive.rotation) == (soms / 2, twists / 2 if twisting else 0.0)
    assert (dive.armstand, dive.residue) == (group == 6, "")


@given(st.sampled_from(sorted(BY_HAND)), st.sampled_from(sorted(BY_HAND)))
def test_differences_mirror_and_json_returns_the_same(one, other):
    source, target = parse_label(one), parse_label(other)
    mirrored = [Change(name, after, before) for name, before, after in difference(target, source)]
    assert list(difference(source, target)) == mirrored
    assert Attributes.from_json(source.to_json()) == source


@needs_annotations
@pytest.mark.parametrize(("name", "count"), [("gym288", 288), ("gym530", 530), ("gym99", 99)])
def test_no_published_label_leaves_residue(name, count):
    texts = published_texts(f"{name}_categories.txt")
    assert len(texts) == count
    assert {text: parse_label(text).residue for text in texts if parse_label(text).residue} == {}


@needs_annotations
def test_different_texts_of_one_element_set_never_read_alike():
    """Across sets they may: an aerial walkover is one skill in a routine and as its end."""
    lines = (Path(ANNOTATIONS) / "gym530_categories.txt").read_text("utf-8").splitlines()
    labels = {tuple(" ".join(line.split()).split("; ", 2)[1:]) for line in lines}
    assert len({(group, parse_label(text)) for group, text in labels}) == len(labels) == 530


@needs_annotations
def test_the_dive_codes_parse_without_collision():
    files = sorted(Path(ANNOTATIONS).glob("finediving_spot_*.json"))
    codes = {c for f in files for c in re.findall(r'"action_type": "(\w+)"', f.read_text("utf-8"))}
    assert len(codes) == 52
    assert len({parse_label(code) for code in codes}) == 52
