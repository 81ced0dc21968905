"""The OpenAPI document describes the route table: all of it, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from msgspec import Struct
from openapi_spec_validator import OpenAPIV31SpecValidator

from autogrocery.kit.http.app import App, Route
from autogrocery.kit.http.openapi import document, document_routes, page
from autogrocery.kit.http.server import serve_http
from tests.harness.http_probe import Basket, Page, Stage, ask, guard, routes


@pytest.fixture
def table() -> list[Route]:
    rows = routes(Stage())
    return [*rows, *document_routes(rows, title="A <small> application")]


@pytest.fixture
def whole(table: list[Route]) -> dict[str, Any]:
    return document(table, "A <small> application")


def operation(whole: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = whole["paths"][path][method]
    return found


def test_document_is_valid_openapi(whole: dict[str, Any]) -> None:
    assert not list(OpenAPIV31SpecValidator(whole).iter_errors())


def test_document_has_exactly_the_routes_of_the_table(table: list[Route], whole: dict[str, Any]) -> None:
    documented = {(method.upper(), path) for path, operations in whole["paths"].items() for method in operations}
    assert documented == {(route.method, route.path) for route in table}


def test_operation_ids_are_unique(whole: dict[str, Any]) -> None:
    ids = [one["operationId"] for operations in whole["paths"].values() for one in operations.values()]
    assert len(ids) == len(set(ids))


def test_route_with_auth_documents_its_scope_401_and_403(whole: dict[str, Any]) -> None:
    basket = operation(whole, "post", "/api/client/basket")
    assert basket["security"] == [{"bearer": ["orders:write"]}]
    assert {"401", "403"} <= basket["responses"].keys()
    assert "security" not in operation(whole, "post", "/open")
    assert not {"401", "403"} & operation(whole, "post", "/open")["responses"].keys()


def test_route_with_body_documents_its_schema_and_errors(whole: dict[str, Any]) -> None:
    basket = operation(whole, "post", "/api/client/basket")
    schema = basket["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Basket"}
    assert whole["components"]["schemas"]["Basket"]["additionalProperties"] is False
    assert {"400", "408", "413", "415", "422"} <= basket["responses"].keys()


def test_parameters_of_path_query_and_header_are_documented(whole: dict[str, Any]) -> None:
    def names(method: str, path: str) -> set[tuple[str, str, bool]]:
        return {(one["in"], one["name"], one["required"]) for one in operation(whole, method, path)["parameters"]}

    assert names("get", "/api/client/orders/{order_id}") == {("path", "order_id", True)}
    assert names("get", "/api/client/page") == {("query", "limit", False), ("query", "q", False)}
    assert names("post", "/api/client/keyed") == {("header", "Idempotency-Key", False)}


def test_query_parameter_keeps_its_bounds(whole: dict[str, Any]) -> None:
    (limit,) = [one for one in operation(whole, "get", "/api/client/page")["parameters"] if one["name"] == "limit"]
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 100)


def test_every_error_response_has_the_problem_schema(whole: dict[str, Any]) -> None:
    for operations in whole["paths"].values():
        for one in operations.values():
            for status, answer in one["responses"].items():
                if int(status) >= 400:
                    assert answer["content"].keys() == {"application/problem+json"}


async def test_served_problems_have_the_documented_schema_and_codes(table: list[Route], whole: dict[str, Any]) -> None:
    problem = Draft202012Validator({"$ref": "#/components/schemas/Problem", "components": whole["components"]})
    tries = [("/open", b"{", "400"), ("/open", b"{}", "422"), ("/limited", None, "200")]
    async with serve_http(App(table, guard()), "127.0.0.1", 0, "TEST_ADDR") as port:
        for path, body, status in tries:
            reply = await ask(port, "POST", path, body)
            assert str(reply.status) == status
            if reply.status >= 400:
                problem.validate(reply.json)
                assert reply.code in operation(whole, "post", path)["responses"][status]["description"]


async def test_served_document_and_page_load_no_other_resource(table: list[Route], whole: dict[str, Any]) -> None:
    async with serve_http(App(table, guard()), "127.0.0.1", 0, "TEST_ADDR") as port:
        served = await ask(port, "GET", "/openapi.json")
        shown = await ask(port, "GET", "/docs")
    assert served.json == whole
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    text = shown.body.decode()
    assert not re.findall(r'(?:src|href)\s*=\s*["\']?(?:https?:)?//', text)
    assert "<script" not in text
    assert "A &lt;small&gt; application" in text


def test_page_has_an_anchor_for_every_problem_code(whole: dict[str, Any]) -> None:
    codes = {
        code
        for operations in whole["paths"].values()
        for one in operations.values()
        for status, answer in one["responses"].items()
        if int(status) >= 400
        for code in answer["description"].split(", ")
    }

    assert codes <= set(re.findall(r'<dt id="(\w+)">', page(whole)))


class Made(Struct):
    order_id: str
    status: str


class Which(Struct):
    order_id: str


def test_created_resource_links_to_operations_on_its_id() -> None:
    stage = Stage()
    rows = [
        Route("POST", "/api/client/make", stage.basket, body=Basket, answer=Made, status=201),
        Route("POST", "/api/client/end", stage.basket, body=Which),
        Route("GET", "/api/client/made/{order_id}", stage.page),
        Route("GET", "/api/client/page", stage.page, query=Page),
        Route("GET", "/api/truck/made/{order_id}", stage.page),
    ]
    links = document(rows, "t")["paths"]["/api/client/make"]["post"]["responses"]["201"]["links"]
    assert links == {
        "post_api_client_end": {
            "operationId": "post_api_client_end",
            "requestBody": {"order_id": "$response.body#/order_id"},
        },
        "get_api_client_made_order_id": {
            "operationId": "get_api_client_made_order_id",
            "parameters": {"order_id": "$response.body#/order_id"},
        },
    }
