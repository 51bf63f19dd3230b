"""A server on loopback that speaks OpenAI's protocol and misbehaves as it is told.

It writes texts by rule, counts every request, and bills a request once for each idempotency key.
"""

import json
import threading
import time
from collections import Counter, defaultdict
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tfcovr_utils.labels import Attributes, label_text, parse_label
from tfcovr_utils.rendering.skills import SKILLS
from tfcovr_utils.texts import write_rules

USAGE = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 600}}
KEY = "sk-secret-of-the-tests"
DIVES = {
    label_text(skill.text): parse_label(skill.text)
    for skill in SKILLS["sim"] + SKILLS["smoke"]
    if skill.family == "dive"
}


class FakeOpenAI:
    """`faults` maps a pair, as "source > target", to what its requests meet, one after the other:

    429, 500, drop, slow, cut (half a body), html, 401, and as content: refusal, truncated, prose,
    wrong. Where the list ends, answers are right.
    """

    def __init__(self, delay_s: float = 0.0, polls: int = 1):
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.delay_s = delay_s
        self.polls = polls  # looks at a batch before it is done
        self.requests: list[tuple[str, str, float]] = []  # (pair, idempotency key, time)
        self.last_messages: dict[str, list[str]] = {}  # of each pair: what its last request says
        self.billed: Counter = Counter()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.missing: set[str] = set()  # pairs that a batch does not answer
        self._stored: dict[str, dict] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "FakeOpenAI":
        fake = self

        class Handler(_Handler):
            owner = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self) -> Counter:
        """How often each pair was requested."""
        return Counter(pair for pair, _, _ in self.requests)

    def take_fault(self, pair: str, key: str) -> str:
        with self._lock:
            self.requests.append((pair, key, time.monotonic()))
            return self.faults[pair].pop(0) if self.faults[pair] else ""

    def complete(self, body: dict, key: str, fault: str = "") -> dict:
        """Return the completion; the same key gets the same one and is billed once."""
        with self._lock:
            if key not in self._stored:
                self._stored[key] = self._write(body, fault)
                self.billed[key] += 1
            return self._stored[key]

    def _write(self, body: dict, fault: str) -> dict:
        self.last_messages[pair_of(body)] = [message["content"] for message in body["messages"]]
        source, target = pair_of(body).split(" > ")
        text = write_rules(read_label(source), read_label(target))
        content = json.dumps({"text": text})
        if fault == "prose":
            content = f"Sure! Here you go: {text}"
        elif fault == "truncated":
            content = content[: len(content) // 2]
        elif fault == "wrong":
            content = json.dumps({"text": "show with 6.5 twists"})
        message = {"role": "assistant", "content": content, "refusal": None}
        if fault == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        return {
            "id": f"chatcmpl-{len(self._stored)}",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o-2024-08-06",
            "system_fingerprint": "fp_test",
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": "length" if fault == "truncated" else "stop",
                }
            ],
            "usage": {**USAGE, "total_tokens": 1010},
        }

    def run_batch(self, batch: dict) -> None:
        rows = []
        for line in self.files[batch["input_file_id"]].decode().splitlines():
            row = json.loads(line)
            pair, key = pair_of(row["body"]), row["custom_id"]
            if pair in self.missing:
                continue
            fault = self.take_fault(pair, key)
            response = {"status_code": 500, "body": {}} if fault == "500" else None
            response = response or {"status_code": 200, "body": self.complete(row["body"], key, fault)}
            rows.append(json.dumps({"custom_id": key, "response": response, "error": None}))
        batch["output_file_id"] = f"file-out-{batch['id']}"
        self.files[batch["output_file_id"]] = "\n".join(reversed(rows)).encode()


def read_label(text: str) -> Attributes:
    """A label's attributes from its text, which of a rendered dive is no code."""
    return DIVES[text] if text in DIVES else parse_label(text)


def pair_of(body: dict) -> str:
    """The label texts of a request's pair, as "source > target"."""
    asks = [m["content"] for m in body["messages"] if m["content"].startswith("Source: ")]
    source, target = asks[-1].removeprefix("Source: ").split("\nTarget: ")
    return f"{source} > {target}"


class _Handler(BaseHTTPRequestHandler):
    owner: FakeOpenAI
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments) -> None:
        pass

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/chat/completions":
            self._chat(json.loads(content))
        elif self.path == "/v1/files":
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = message_from_bytes(head + content).get_payload()
            file_id = f"file-{len(self.owner.files)}"
            named = {part.get_param("name", header="content-disposition"): part for part in parts}
            self.owner.files[file_id] = named["file"].get_payload(decode=True)
            self._send(
                {
                    "id": file_id,
                    "object": "file",
                    "bytes": 1,
                    "created_at": 1,
                    "filename": "x",
                    "purpose": "batch",
                    "status": "processed",
                }
            )
        elif self.path == "/v1/batches":
            request = json.loads(content)
            batch = {
                "id": f"batch_{len(self.owner.batches)}",
                "object": "batch",
                "created_at": 1,
                "status": "in_progress",
                "output_file_id": None,
                "looks": 0,
                **request,
            }
            self.owner.batches[batch["id"]] = batch
            self._send(batch)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/v1/batches":
            data = list(self.owner.batches.values())
            self._send({"object": "list", "data": data, "has_more": False})
        elif path.startswith("/v1/batches/"):
            batch = self.owner.batches[path.split("/")[-1]]
            batch["looks"] += 1
            if batch["looks"] > self.owner.polls and batch["status"] == "in_progress":
                batch["status"] = "completed"
                self.owner.run_batch(batch)
            self._send(batch)
        else:
            self._send_bytes(self.owner.files[path.split("/")[3]], "application/octet-stream")

    def _chat(self, body: dict) -> None:
        pair, key = pair_of(body), self.headers.get("Idempotency-Key", "none")
        fault = self.owner.take_fault(pair, key)
        time.sleep(self.owner.delay_s)
        if fault == "429":
            self._send({"error": {"message": "slow down", "code": "rate"}}, 429, {"Retry-After": "1"})
        elif fault == "500":
            self._send({"error": {"message": "broken"}}, 500)
        elif fault == "401":
            said = f"Incorrect API key provided: {self.headers['Authorization'].split()[-1]}"
            self._send({"error": {"message": said, "code": "invalid_api_key"}}, 401)
        elif fault == "html":
            self._send_bytes(b"<html>busy</html>", "text/html")
        else:
            completion = self.owner.complete(body, key, fault)  # billed, whether it arrives or not
            if fault == "slow":
                time.sleep(1.5)
            if fault == "drop":
                self.close_connection = True
                self.connection.close()
            elif fault == "cut":
                self._send_bytes(json.dumps(completion).encode()[:200], "application/json")
            else:
                self._send(completion)

    def _send(self, value: dict, status: int = 200, headers: dict | None = None) -> None:
        self._send_bytes(json.dumps(value).encode(), "application/json", status, headers)

    def _send_bytes(self, content: bytes, kind: str, status: int = 200, headers: dict | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": len(content),
                **(headers or {}),
            }.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # the client was killed
