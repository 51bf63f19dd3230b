"""The request for one modification.

Everything before the pair is the same in all requests, so that the provider can reuse that prefix.
"""

import json
from pathlib import Path

from ...labels import label_text, parse_label
from ...labels.pairing import spell_out
from ...labels.word_tables import read_rows
from ...machine.hashing import digest_json
from ..dense import write_dense

_FOLDER = Path(__file__).parent
INSTRUCTIONS = {
    style: (_FOLDER / f"instructions_{style}.txt").read_text("utf-8").strip() for style in ("short", "dense")
}
# One pair for each kind of change, with its short text; the rules write their dense texts.
EXAMPLES = tuple(map(tuple, read_rows(_FOLDER / "examples.csv")))
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
