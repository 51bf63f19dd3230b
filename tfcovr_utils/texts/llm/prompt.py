"""The request for one modification.

Everything before the pair is the same in all requests, so that the provider can reuse that prefix.
"""

import json
import re

from ...labels import label_text, parse_label
from ...labels.pairing import spell_out
from ...machine.hashing import digest_json
from ..dense import write_dense

_ROLE = (
    "You write the modification of a composed retrieval query about gymnastics and diving. You get two "
    "action labels, a source and a target. Write"
)
_NEVER = "Copy no label, use no pronoun, and mention no video or clip."
INSTRUCTIONS = {
    "short": f"{_ROLE} one imperative instruction that turns the source into the target.\n"
    "Say only what changes, with the target's values and never the source's. For the same skill on another "
    "apparatus name only the new apparatus, in full. Use one clause a change, at most three, in this order: "
    "apparatus, entry, direction, turns or twists, somersaults, shape, legs, landing. Copy counts exactly. "
    f"Say 'no turn' or 'no twist' where the target has none. Use 2 to 19 words. {_NEVER}",
    "dense": f"{_ROLE} an instruction of 30 to 120 words that turns the source into the target: what changes "
    "and also what stays, in the order of time.\n"
    "Give the target's values and never the source's. Copy counts exactly. Name the apparatus in full. "
    f"Invent nothing that the labels do not say. {_NEVER}",
}
# One pair for each kind of change, with its short text; the rules write their dense texts.
_EXAMPLES = """
(VT) round-off, flic-flac on, stretched salto backward with 1 turn off
    -> (VT) round-off, flic-flac on, stretched salto backward with 2.5 turn off: show with 2.5 turns
(VT) handspring forward on, tucked salto forward with 0.5 turn off
    -> (VT) handspring forward on, tucked salto forward off: show with no turn
(VT) round-off, flic-flac with 1 turn on, piked salto backward off
    -> (VT) round-off, flic-flac on, piked salto backward off: show with no turn on entry
(FX) salto backward tucked -> (FX) double salto backward tucked: show with a double salto
(FX) switch leap with 1 turn -> (BB) switch leap with 1 turn: show on Balance Beam
(BB) salto backward stretched with 1 twist
    -> (FX) salto backward stretched with 1 twist: show on Floor Exercise
(UB) (swing forward) double salto backward tucked -> (BB) double salto backward tucked: show on Balance Beam
(FX) salto backward stretched with 1.5 twist
    -> (FX) salto backward stretched with 2.5 twist: show with 2.5 twists
(FX) double salto backward tucked -> (FX) double salto backward piked: show in piked position
(FX) 2 turn on one leg, free leg optional below horizontal
    -> (FX) 2 turn with free leg held upward in 180 split position throughout turn:
    show with the free leg held up in split
(UB) giant circle backward with 1 turn to handstand
    -> (UB) giant circle forward with 1 turn to handstand: change direction to forward
(FX) switch leap -> (FX) switch leap to ring position: show in ring position
107b -> 105b: show with 2.5 somersaults
5253b -> 205b: show with no twist
5132d -> 5255b: change direction to back, increase to 2.5 twists, and show with 2.5 somersaults
"""
EXAMPLES = tuple(re.findall(r"(.+?)\s+-> (.+?):\s+(.+)", _EXAMPLES))
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "description": "the modification"}},
    "required": ["text"],
    "additionalProperties": False,
}
MOST_TOKENS = {"short": 100, "dense": 400}


def request_body(model: str, style: str, source: str, target: str, earlier=()) -> dict:
    """Return the request for one pair; `earlier` holds (answer, complaint) of its rejected attempts."""
    messages = [*_prefix(style), {"role": "user", "content": _ask(source, target)}]
    for answer, complaint in earlier:
        messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": complaint})
    return {
        "model": model,
        "messages": messages,
        "temperature": 0,
        "max_tokens": MOST_TOKENS[style],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "modification", "strict": True, "schema": SCHEMA},
        },
    }


def prompt_sha(style: str) -> str:
    """Name the prompt, examples and schema of a style by a short hash."""
    return digest_json([_prefix(style), SCHEMA])[:12]


def _prefix(style: str) -> list[dict]:
    messages = [{"role": "system", "content": INSTRUCTIONS[style]}]
    for source, target, short in EXAMPLES:
        text = short if style == "short" else write_dense(parse_label(source), parse_label(target))
        labels = [label if label.startswith("(") else label_text(label) for label in (source, target)]
        messages.append({"role": "user", "content": _ask(*labels)})
        messages.append({"role": "assistant", "content": json.dumps({"text": text})})
    return messages


def _ask(source: str, target: str) -> str:
    return f"Source: {spell_out(source)}\nTarget: {spell_out(target)}"
