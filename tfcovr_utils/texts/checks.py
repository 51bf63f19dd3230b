"""Checks of a modification text, whoever wrote it; each has a name and complains in one sentence.

A language model gets the complaint when it is asked once more, so new words here are new requests.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from ..labels import Attributes, comes_along, difference
from ..labels.numbers import NUMBER
from .reading.reader import apply_text, named_attributes, normalise, satisfies
from .reading.synonyms import DIRECTIONS, PLACES, SHAPES
from .rules import MOST_CLAUSES, changes
from .words import ENTRIES, FINISHES, LEGS, MODIFIERS, count_words

LENGTHS = {"short": (2, 19), "dense": (30, 120)}
VERBATIM = 4  # a label of fewer words only names a skill, so that saying it is no copying
_FORBIDDEN = {
    "copied": (r"\b\d{3,4}[a-d]\b|\((?:vt|fx|bb|ub)\)", "It copies {!r} from a label; say only the change."),
    "pronoun": (
        r"\b(?:it|its|itself|this|that|these|those|they|them|their|he|him|his|she|her|hers)\b",
        "It says {!r}, which refers to nothing; name the thing.",
    ),
    "medium": (r"\b(?:video|clip|footage|film|recording)s?\b", "It says {!r}; speak of the skill only."),
}
_COUNTED = ("rotation", "entry_turn", "saltos")
_COUNT_WORDS = {"single": 1.0, "double": 2.0, "triple": 3.0}
# Numbers that count neither turns nor saltos.
_OTHER_NUMBERS = "|".join(
    [r"^instead show 1 ", r"\b1 (?:leg|arm|hand|foot|bar)\b"]
    + [rf"(?:1 )?{normalise(said)}" for said in MODIFIERS.values()]
)


class Complaint(NamedTuple):
    """What is wrong with a text: the name of the check, and a sentence with the value."""

    check: str
    message: str


def check_text(
    text: str, source: Attributes, target: Attributes, label_texts: tuple[str, ...] = (), style: str = "short"
) -> list[Complaint]:
    """Return what is wrong with a text that should lead from source to target; [] where nothing is.

    `label_texts` are the labels as their owners spell them, to find copies. Of labels in free words, without
    attributes, only the form is checked, and a text names the new one as it is.
    """
    if not (source.apparatus and target.apparatus):
        return [*_check_form(text, (), style)]
    read = normalise(text)
    found = [*_check_form(text, label_texts, style), *_check_numbers(read, source, target, style)]
    if style == "short":
        found += [*_check_named(text, source, target), *_check_reading(text, source, target)]
    else:
        found += _check_values(read, source, target)
    return found


def check_table(modifications: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Check every text of a table and return (modification_id, check, message), one row a complaint."""
    attributes = {row.label_id: Attributes.from_json(row.attributes) for row in labels.itertuples()}
    text_of = dict(zip(labels["label_id"], labels["text"]))
    rows = []
    for row in modifications.itertuples():
        ends = (row.source_label, row.target_label)
        label_texts = tuple(text_of[end] for end in ends)
        complaints = check_text(row.text, *(attributes[end] for end in ends), label_texts, row.style)
        rows += [(row.modification_id, *complaint) for complaint in complaints]
    rows += _check_answers(modifications[modifications["style"] == "short"], attributes)
    return pd.DataFrame(rows, columns=["modification_id", "check", "message"])


def _check_form(text: str, label_texts: tuple[str, ...], style: str) -> Iterator[Complaint]:
    least, most = LENGTHS[style]
    n_words = count_words(text)
    if not least <= n_words <= most:
        yield Complaint("length", f"It has {n_words} words; write {least} to {most}.")
    lower = text.lower()
    cores = [" ".join(re.sub(r"^\(\w+\)", "", label.lower()).split()) for label in label_texts]
    copied = [core for core in cores if len(core.split()) >= VERBATIM and core in " ".join(lower.split())]
    for check, (pattern, message) in _FORBIDDEN.items():
        found = re.findall(pattern, lower)[:1] + (copied if check == "copied" else [])
        if found:
            yield Complaint(check, message.format(found[-1]))


def _check_numbers(read: str, source: Attributes, target: Attributes, style: str) -> Iterator[Complaint]:
    changed = changes(source, target)
    # A whole new skill and a dense text say counts that stay as well.
    everything = style == "dense" or _is_new_skill(changed)
    wanted = {getattr(target, name) for name in _COUNTED if name in changed}
    allowed = {getattr(target, name) for name in _COUNTED if everything or name in changed}
    counts = re.sub(_OTHER_NUMBERS, " ", read)
    said = {float(count) for count in NUMBER.findall(counts)}
    said |= {count for word, count in _COUNT_WORDS.items() if re.search(rf"\b{word}\b", counts)}
    for count in sorted(said - allowed):
        whose = "the source's" if count in {getattr(source, name) for name in _COUNTED} else "nobody's"
        yield Complaint("numbers", f"It says {count:g}, {whose} count; say only what the target changes.")
    for count in sorted(wanted - said - {0.0, None}):
        yield Complaint("numbers", f"It does not say the target's {count:g}; copy that count exactly.")


def _check_named(text: str, source: Attributes, target: Attributes) -> Iterator[Complaint]:
    changed, named = changes(source, target), named_attributes(source, text)
    for name in ("apparatus", "direction", "shape"):
        value = getattr(target, name)
        if name in changed and value and name not in named:
            yield _missing(name, value)
        if name in named and name not in changed and not _is_new_skill(changed):
            yield Complaint("words", f"It names the {name}, which stays the same; leave that out.")


def _check_reading(text: str, source: Attributes, target: Attributes) -> Iterator[Complaint]:
    try:
        reached = apply_text(source, text)
    except ValueError:
        yield Complaint("reading", "It names no change that can be read; say what becomes different.")
        return
    for name, was, should in difference(reached, target):
        if name not in comes_along(source, target):
            yield Complaint("reading", f"It leads to {name} {was!r}, not {should!r}; say the latter.")


def _check_values(read: str, source: Attributes, target: Attributes) -> Iterator[Complaint]:
    """Of a dense text: every apparatus, direction and shape it names is the target's."""
    changed = changes(source, target)
    said = [ENTRIES[target.entry], FINISHES[target.finish], LEGS[target.legs], target.base]
    said += [MODIFIERS[modifier] for modifier in {*source.modifiers, *target.modifiers}]
    for phrase in sorted(map(normalise, said), key=len, reverse=True):
        read = read.replace(phrase, " ")
    for name, patterns in [("apparatus", PLACES), ("direction", DIRECTIONS), ("shape", SHAPES)]:
        value = getattr(target, name).replace("straight", "stretched")
        named = {k for k, pattern in patterns.items() if re.search(rf"\b(?:{pattern})\b", read)}
        for other in sorted(named - {value}):
            yield Complaint("words", f"It names the {name} {other!r}, not {value!r}; name the latter.")
        if name in changed and value and value not in named:
            yield _missing(name, value)


def _check_answers(short: pd.DataFrame, attributes: dict[str, Attributes]) -> Iterator[tuple[str, str, str]]:
    """Find labels that satisfy a text and are not among its answers, so would count as wrong.

    Labels with the same attributes are one answer, however their owners spell them.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for label, found in attributes.items():
        alike.setdefault((found.apparatus, found.base), []).append(label)
    for (start, text), group in short.groupby(["source_label", "text"]):
        source = attributes[start]
        known = {attributes[label] for label in group["target_label"]}
        places = {(target.apparatus, target.base) for target in known}
        for label in sorted(label for place in places for label in alike[place]):
            there = attributes[label]
            if there not in known and there != source and satisfies(source, text, there):
                message = f"It leads to label {label} as well, which is not among its targets."
                yield group["modification_id"].iloc[0], "answers", message


def _missing(name: str, value: str) -> Complaint:
    return Complaint("words", f"It names no {name}, which becomes {value}; name the new one.")


def _is_new_skill(changed: tuple[str, ...]) -> bool:
    return len(changed) > MOST_CLAUSES or "base" in changed
