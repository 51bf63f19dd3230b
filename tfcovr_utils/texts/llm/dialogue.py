"""The dialogue about one label pair: ask, check the answer, ask once more with the complaint.

It follows the answers so far and returns the next request. So single requests and batches take the same way,
and a resumed run continues where the killed one stopped. Everything before the pair is the same in all
requests, so that the provider can reuse that prefix.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...labels import Attributes, label_text, parse_label
from ...labels.pairing import spell_out
from ...labels.word_tables import read_rows
from ...machine.hashing import digest_json
from ..checks import Complaint, check_text
from ..dense import write_dense

ATTEMPTS = 2
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


@dataclass(frozen=True)
class Job:
    """One text to write. The label texts are spelled as their owners do."""

    style: str
    source_label: str
    target_label: str
    source_text: str
    target_text: str
    source: Attributes
    target: Attributes


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    `body` is the next request. It is None when `text` is accepted, or when the checks named in `rejected`
    rejected both attempts.
    """

    key: str
    body: dict | None
    text: str | None = None
    answer: dict | None = None
    rejected: tuple[str, ...] = ()


def follow(job: Job, provider: str, model: str, get_answer: Callable[[str], dict | None]) -> Progress:
    """Follow a job through the answers that are there."""
    earlier: list[tuple[str, str]] = []
    rejected: tuple[str, ...] = ()
    for _ in range(ATTEMPTS):
        body = request_body(model, job.style, job.source_text, job.target_text, earlier)
        key = digest_json([provider, body])
        answer = get_answer(key)
        if answer is None:
            return Progress(key, body, rejected=rejected)
        text, complaints = judge(job, answer)
        if not complaints:
            return Progress(key, None, text, answer, rejected)
        rejected += tuple(sorted({complaint.check for complaint in complaints}))
        complaint = " ".join(complaint.message for complaint in complaints)
        earlier.append((answer["content"] or "", f"{complaint} Answer with the corrected JSON."))
    return Progress(key, None, rejected=rejected)


def judge(job: Job, answer: dict) -> tuple[str, list[Complaint]]:
    """Return the text of an answer and what is wrong with it."""
    if answer.get("refusal"):
        return "", [Complaint("refused", "You refused, but this is about sports only; answer with a text.")]
    try:
        text = json.loads(answer["content"] or "")["text"]
    except (ValueError, TypeError, KeyError):
        return "", [Complaint("parses", 'Your answer is not JSON of the form {"text": "..."}.')]
    if not isinstance(text, str) or not text.strip():
        return "", [Complaint("parses", "Your answer has no text in it.")]
    text = " ".join(text.split())
    text = text.rstrip(".") if job.style == "short" else text
    return text, check_text(text, job.source, job.target, (job.source_text, job.target_text), job.style)


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
