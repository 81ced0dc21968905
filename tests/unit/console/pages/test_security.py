from __future__ import annotations

import re
from typing import Any

import pytest

from autogrocery.console.pages.security import Protect

PAGE = b"<html><script>a</script><script src=x></script>createApp(parseElements(`<script>data</script>`))"


async def _app(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/html"), (b"content-length", str(len(PAGE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE})


async def _get(**headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await Protect(_app)({"type": "http", "path": "/", "headers": raw}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[-1]["body"]


async def test_nonce_is_on_the_scripts_of_the_page_and_not_in_its_data() -> None:
    _, headers, body = await _get(host="127.0.0.1:5059")
    found = re.search(rb"'nonce-([^']+)'", headers[b"content-security-policy"])
    assert found is not None
    assert body.count(b'nonce="%s"' % found[1]) == 2
    assert b"`<script>data" in body
    assert int(headers[b"content-length"]) == len(body)


async def test_nonce_changes_with_every_answer() -> None:
    assert (await _get())[2] != (await _get())[2]


@pytest.mark.parametrize(
    ("origin", "status"), [("http://127.0.0.1:5059", 200), ("http://evil.example", 403), ("null", 403)]
)
async def test_request_of_another_page_is_refused(origin: str, status: int) -> None:
    assert (await _get(host="127.0.0.1:5059", origin=origin))[0] == status
