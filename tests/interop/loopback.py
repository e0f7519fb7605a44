"""A provider on this machine: answers as an OpenAI-compatible server does, and refuses the keys it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

ANSWER: Final = "hello there"
_LIMITED: Final = {"error": {"message": "Rate limit reached for requests", "code": "rate_limit_exceeded"}}


class Loopback:
    """What runs: its address, and the keys of the requests that came, in their order."""

    def __init__(self, refused: frozenset[str]) -> None:
        self.refused = refused
        self.keys: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))

    @property
    def url(self) -> str:
        """Where requests go."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"


@contextmanager
def a_provider(*refused: str) -> Iterator[Loopback]:
    """Run a provider that answers 429 to these keys."""
    provider = Loopback(frozenset(refused))
    thread = threading.Thread(target=provider._server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider._server.shutdown()
        provider._server.server_close()
        thread.join()


def _handler(provider: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self.path.endswith("/chat/completions"):
                self._answer(404, {})
                return
            key = self.headers["Authorization"].removeprefix("Bearer ")
            provider.keys.append(key)
            if key in provider.refused:
                self._answer(429, _LIMITED)
            elif asked.get("stream"):
                self._stream()
            else:
                self._answer(200, _completion("chat.completion", message=_SAID, finish_reason="stop"))

        def do_GET(self) -> None:
            self._answer(404, {})

        def _answer(self, status: int, told: dict[str, Any]) -> None:
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for choice in ({"delta": _SAID, "finish_reason": None}, {"delta": {}, "finish_reason": "stop"}):
                part = _completion("chat.completion.chunk", **choice)
                self.wfile.write(f"data: {json.dumps(part)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")

    return Handler


_SAID: Final = {"role": "assistant", "content": ANSWER}


def _completion(kind: str, **choice: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {
        "id": "1",
        "object": kind,
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, **choice}],
        "usage": usage,
    }
