"""The examples on the OpenAPI page are what the models take and give, and none is missing."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from pydantic import BaseModel

from coredinator.app import create_app
from coredinator.services.limits import LimitsModel
from coredinator.settings import parse_settings
from coredinator.store import Mirror
from coredinator.web import models, operation_models

type Schema = dict[str, Any]

MODELS = {
    model.__name__: model
    for module in (models, operation_models)
    for model in (*vars(module).values(), LimitsModel)
    if isinstance(model, type) and issubclass(model, BaseModel) and "json_schema_extra" in model.model_config
}
# An application has no use for its mirror before it starts.
DOCUMENT = create_app(parse_settings(["--base-path", "/"]), cast("Mirror", None)).openapi()
SCHEMAS: dict[str, Schema] = DOCUMENT["components"]["schemas"]
OF_FASTAPI = {"HTTPValidationError"}


def bodies() -> Iterator[tuple[str, Schema]]:
    """The schemas of all requests and answers, by method, path, and `request` or the answer's code."""
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for part, body in {"request": operation.get("requestBody", {}), **operation["responses"]}.items():
                for content in body.get("content", {}).values():
                    yield f"{method.upper()} {path} {part}", content["schema"]


def parts(schema: Schema) -> Iterator[Schema]:
    """What a schema offers to choose from, or has for items; itself if it is neither a choice nor a list."""
    if inner := schema.get("anyOf", [schema["items"]] if "items" in schema else []):
        for item in inner:
            yield from parts(item)
    elif schema != {"type": "null"}:
        yield schema


def name_of(schema: Schema) -> str | None:
    return schema["$ref"].rpartition("/")[2] if "$ref" in schema else None


ANSWERS = {
    name
    for body, schema in bodies()
    for part in parts(schema)
    if not body.endswith("request") and (name := name_of(part)) is not None
} - OF_FASTAPI


def test_every_request_and_every_answer_has_an_example() -> None:
    def lacks_example(schema: Schema) -> bool:
        name = name_of(schema)
        return name not in OF_FASTAPI and "examples" not in (SCHEMAS[name] if name else schema)

    assert {body for body, schema in bodies() if any(map(lacks_example, parts(schema)))} == set()


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_examples_are_valid(model: type[BaseModel]) -> None:
    for example in examples(model):
        model.model_validate(example)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_example_of_an_answer_is_written_as_the_answer_would_be(name: str) -> None:
    model = MODELS[name]
    for example in examples(model):
        assert model.model_validate(example).model_dump(mode="json") == example


def examples(model: type[BaseModel]) -> list[dict[str, Any]]:
    return cast("dict[str, Any]", model.model_config.get("json_schema_extra"))["examples"]
