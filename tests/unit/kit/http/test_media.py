"""Media types and Accept, as RFC 9110 defines them."""

from __future__ import annotations

import time

import pytest

from autogrocery.kit.http.media import parse_media_type, preferred

JSON, STREAM = "application/json", "text/event-stream"
ACCEPTED = {
    "": JSON,
    "*/*": JSON,
    "*": JSON,
    "*/*;q=0.1": JSON,
    "application/*": JSON,
    "application/json": JSON,
    "text/html": JSON,
    "text/event-stream": STREAM,
    "TEXT/Event-Stream": STREAM,
    "text/event-stream, */*": STREAM,
    "*/*, text/event-stream": STREAM,
    "text/*": STREAM,
    "text/*, */*": STREAM,
    "text/event-stream;charset=utf-8": STREAM,
    " text/event-stream ; Q=1.000 ": STREAM,
    "text/event-stream\t;\tq=.5": STREAM,
    "text/event-stream;q=0": JSON,
    "text/event-stream;q=0.000": JSON,
    "text/event-stream; Q=0": JSON,
    "text/event-stream;q=0, */*": JSON,
    "text/*, text/event-stream;q=0": JSON,
    "text/event-stream;q=0.4, application/json;q=0.5": JSON,
    "text/event-stream;q=0.5, application/json;q=0.4": STREAM,
    "application/json;q=0.9, text/event-stream": STREAM,
    "text/event-stream;q=0.9, */*": JSON,
    "application/json, text/event-stream": STREAM,
    "application/json;q=0, */*": STREAM,
    "application/json;q=0": JSON,
    "application/json;q=0, text/event-stream;q=0": JSON,
    "text/event-streaming": JSON,
    "x-text/event-stream": JSON,
    "text/event-stream-x, text/html": JSON,
    'text/html;a=", text/event-stream, "': JSON,
    'text/html;a="\\", text/event-stream': JSON,
    'text/html;a="\\"", text/event-stream': STREAM,
    "text/event-stream;q=2": JSON,
    "text/event-stream;q=-1": JSON,
    "text/event-stream;q=nan": JSON,
    "text/event-stream;q=": JSON,
    "text/event-stream;q=1e0": JSON,
    "text/event-stream;q=\u0660": JSON,
    "text/event-stream;q": JSON,
    ",,text/event-stream,,": STREAM,
    "text / event-stream": JSON,
    ";": JSON,
    ",": JSON,
}


@pytest.mark.parametrize(("accept", "media"), ACCEPTED.items(), ids=ACCEPTED)
def test_accept_prefers(accept: str, media: str) -> None:
    assert preferred(accept, (JSON, STREAM)) == media


@pytest.mark.parametrize(
    ("text", "kind", "parameters"),
    [
        ("application/json", "application/json", []),
        ("Application/JSON;\tCharset=UTF-8 ", "application/json", [("charset", "UTF-8")]),
        ('a/b; c="d;e\\"f" ; g', "a/b", [("c", 'd;e"f'), ("g", "")]),
        ('a/b; c="open', "a/b", [("c", "open")]),
        ("a/b;;", "a/b", []),
        ("", "", []),
    ],
)
def test_media_type_is_parsed(text: str, kind: str, parameters: list[tuple[str, str]]) -> None:
    assert parse_media_type(text) == (kind, parameters)


@pytest.mark.parametrize("part", ['"', '\\"', '"\\', "a/b;q=0.5,", ";q=1", ",", '";,'])
def test_16_kib_are_parsed_in_50_ms(part: str) -> None:
    text = part * ((16 << 10) // len(part))
    took_s = []
    for _ in range(3):
        began = time.perf_counter()
        preferred(text, (JSON, STREAM))
        took_s.append(time.perf_counter() - began)
    assert min(took_s) < 0.05
