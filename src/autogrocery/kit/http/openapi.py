"""OpenAPI 3.1 document of a route table, and an HTML page of it; both are generated from the table alone."""

from __future__ import annotations

import html
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from autogrocery.kit.errors import FieldError
from autogrocery.kit.http import errors
from autogrocery.kit.http.route import Answer, Request, Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SCHEMA = "#/components/schemas/{name}"
PROBLEM = {"$ref": SCHEMA.format(name="Problem")}
PARAMETER = re.compile(r"\{(\w+)\}")
REQUEST_ID = {"X-Request-Id": {"schema": {"type": "string"}}}
RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}}}
LEFT = {"RateLimit": {"description": "what this caller has left", "schema": {"type": "string"}}}
POLICY = {"RateLimit-Policy": {"description": "how much there is, in how many seconds", "schema": {"type": "string"}}}
LIMITED = 429
PROBLEM_MEDIA = "application/problem+json"
MADE = 201
EXAMPLE_REQUEST = "5f0c2c0f6d9b4f1e8a7b6c5d"
DESCRIPTIONS = {200: "Done", 201: "Made", 202: "In doubt or under way: look again", 204: "Done"}


def document(
    routes: Sequence[Route],
    title: str,
    *,
    field_error: type[FieldError] = FieldError,
    examples: Mapping[type, msgspec.Struct] | None = None,
) -> dict[str, Any]:
    """Return the OpenAPI document of a route table.

    `field_error` is the type of a problem's `errors[]`; `examples` has an example of some bodies, by their types.
    """
    types = [kind for route in routes for kind in (route.body, route.answer, route.query) if _is_struct(kind)]
    _, schemas = msgspec.json.schema_components([*types, errors.Problem, field_error], ref_template=SCHEMA)
    schemas["Problem"]["properties"]["errors"]["items"] = {"$ref": SCHEMA.format(name=field_error.__name__)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, examples or {})
    _link(routes, paths)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version("autogrocery")},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "examples": _problem_examples(paths),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(route: Route, examples: Mapping[type, msgspec.Struct]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _id_of(route),
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": _responses(route, examples),
    }
    if route.auth:
        operation["security"] = [{"bearer": [route.scope] if route.scope else []}]
    if route.body is not None:
        content = {"schema": _schema(route.body)} | _example(route.body, examples)
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _id_of(route: Route) -> str:
    return f"{route.method.lower()}{re.sub(r'[^a-z0-9]+', '_', route.path.lower())}".rstrip("_")


def _link(routes: Sequence[Route], paths: dict[str, dict[str, Any]]) -> None:
    """Add OpenAPI links from each 201 answer to the operations that take one of its ids, as parameter or body."""
    for maker in (route for route in routes if route.status == MADE and _is_struct(route.answer)):
        ids = {name for name in _names(maker.answer) if name.endswith("_id")}
        links: dict[str, dict[str, Any]] = {}
        for route in routes:
            parameters = {
                name: f"$response.body#/{name}" for name in sorted(ids & {one["name"] for one in _parameters(route)})
            }
            members = {name: f"$response.body#/{name}" for name in _names(route.body) if name in ids}
            if route.path.split("/")[:3] != maker.path.split("/")[:3]:
                continue  # it belongs to another kind of account
            if parameters:
                links[_id_of(route)] = {"operationId": _id_of(route), "parameters": parameters}
            elif members and len(members) == len(_names(route.body)):
                links[_id_of(route)] = {"operationId": _id_of(route), "requestBody": members}
        if links:
            paths[maker.path][maker.method.lower()]["responses"][str(MADE)]["links"] = links


def _names(kind: Any) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)] if _is_struct(kind) else []


def _parameters(route: Route) -> list[dict[str, Any]]:
    text = {"type": "string"}
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in PARAMETER.findall(route.path)
    ]
    if _is_struct(route.query):
        found.extend(
            {"name": field.encode_name, "in": "query", "required": field.required, "schema": _present(field.type)}
            for field in msgspec.structs.fields(route.query)
        )
    if route.keyed:
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"}
        found.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema})
    return found


def _example(kind: Any, examples: Mapping[type, msgspec.Struct]) -> dict[str, Any]:
    return {"example": msgspec.to_builtins(examples[kind])} if kind in examples else {}


def _problem_examples(paths: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an example of each problem to which a response refers."""
    named = {
        (int(status), code)
        for operations in paths.values()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        for code in response.get("content", {}).get(PROBLEM_MEDIA, {}).get("examples", ())
    }
    return {
        f"{status}.{code}": {
            "value": msgspec.to_builtins(errors.problem(status, code, f"{errors.title(code)}.", EXAMPLE_REQUEST))
        }
        for status, code in sorted(named)
    }


def _references(status: int, codes: Iterable[str]) -> dict[str, Any]:
    return {code: {"$ref": f"#/components/examples/{status}.{code}"} for code in sorted(codes)}


def _responses(route: Route, examples: Mapping[type, msgspec.Struct]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in (route.status, *route.also):
        headers = REQUEST_ID | LEFT if route.limit else REQUEST_ID
        responses[str(status)] = {"description": DESCRIPTIONS.get(status, "Done"), "headers": headers}
        if status != 204:  # noqa: PLR2004 - no content
            schema = _schema(route.answer) if route.answer is not None else {}
            responses[str(status)]["content"] = {route.media: {"schema": schema} | _example(route.answer, examples)}
    for status, codes in sorted(_codes(route).items()):
        responses[str(status)] = {
            "description": ", ".join(sorted(codes)),
            "headers": REQUEST_ID
            | (RETRY_AFTER if status in errors.RETRY_AFTER_STATUSES else {})
            | (LEFT | POLICY if status == LIMITED else {}),
            "content": {PROBLEM_MEDIA: {"schema": PROBLEM, "examples": _references(status, codes)}},
        }
    return responses


def _codes(route: Route) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {status: set(codes) for status, codes in errors.ANY_ROUTE_CODES.items()}
    if route.body is not None or route.query is not None:
        for status, codes in errors.BODY_ROUTE_CODES.items():
            found.setdefault(status, set()).update(codes)
    if route.auth:
        found.setdefault(401, set()).add("invalid_token")
    if route.scope:
        found.setdefault(403, set()).add("insufficient_scope")
    if route.limit:
        found.setdefault(429, set()).add("rate_limited")
    for error in route.errors:
        number, _, code = error.partition(" ")
        found.setdefault(int(number), set()).add(code)
    return found


def _schema(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=SCHEMA)
    return schema


def _present(kind: Any) -> dict[str, Any]:
    """Return the schema of a query field without null: a field is left out, or it has a value."""
    schema = _schema(kind)
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else schema


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def document_routes(
    routes: Sequence[Route],
    *,
    title: str,
    field_error: type[FieldError] = FieldError,
    examples: Mapping[type, msgspec.Struct] | None = None,
) -> list[Route]:
    """Return the routes `GET /openapi.json` and `GET /docs`, which describe a table and themselves."""
    made: dict[str, bytes] = {}

    async def openapi(_request: Request) -> Answer:
        return Answer(made["json"])

    async def docs(_request: Request) -> Answer:
        return Answer(made["html"], media="text/html; charset=utf-8")

    own = [
        Route("GET", "/openapi.json", openapi, answer=dict[str, Any], auth=False, summary="This document"),
        Route("GET", "/docs", docs, answer=str, auth=False, media="text/html", summary="This document, to read"),
    ]
    whole = document([*routes, *own], title, field_error=field_error, examples=examples)
    made["json"] = msgspec.json.encode(whole)
    made["html"] = page(whole).encode()
    return own


def page(whole: dict[str, Any]) -> str:
    """Return the document as one HTML page that loads no other resource."""
    rows = []
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            answers = "".join(
                f"<li><b>{status}</b> {html.escape(answer['description'])}</li>"
                for status, answer in operation["responses"].items()
            )
            rows.append(
                f"<details><summary><code>{method.upper()} {html.escape(path)}</code> "
                f"{html.escape(operation['summary'])}</summary><ul>{answers}</ul></details>"
            )
    schemas = html.escape(msgspec.json.format(msgspec.json.encode(whole["components"]["schemas"]), indent=2).decode())
    name = html.escape(whole["info"]["title"])
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}summary{cursor:pointer}"
        "pre{overflow:auto;background:#f6f6f6;padding:1rem}</style>"
        f"<h1>{name}</h1><p><a href=/openapi.json>openapi.json</a></p>{''.join(rows)}"
        f"<h2>Problems</h2><dl>{_problems(whole)}</dl><h2>Schemas</h2><pre>{schemas}</pre></html>"
    )


def _problems(whole: dict[str, Any]) -> str:
    """Return the list of problem codes with their statuses; each is an anchor, as in the `type` /docs#code."""
    statuses: dict[str, set[str]] = {}
    for operations in whole["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if PROBLEM_MEDIA in answer.get("content", {}):
                    for code in answer["description"].split(", "):
                        statuses.setdefault(code, set()).add(status)
    return "".join(
        f'<dt id="{html.escape(code)}"><code>{html.escape(code)}</code></dt>'
        f"<dd>{', '.join(sorted(found))} {html.escape(errors.title(code))}</dd>"
        for code, found in sorted(statuses.items())
    )
