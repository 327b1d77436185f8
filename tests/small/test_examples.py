"""The examples on the OpenAPI page are what the models take and give."""

from typing import Any, cast

import pytest
from pydantic import BaseModel

from coredinator.services.limits import LimitsModel
from coredinator.web import models, operation_models

MODELS = [
    model
    for module in (models, operation_models)
    for model in (*vars(module).values(), LimitsModel)
    if isinstance(model, type) and issubclass(model, BaseModel) and "json_schema_extra" in model.model_config
]
REQUESTS = {"StartCoreio", "StartLimitedCoreio", "StartAgent", "ValidateAgent", "UpgradeAgent", "LimitsModel"}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_examples_are_valid(model: type[BaseModel]) -> None:
    extra = cast("dict[str, Any]", model.model_config.get("json_schema_extra"))
    for example in extra["examples"]:
        model.model_validate(example)


def test_every_request_has_an_example() -> None:
    assert {model.__name__ for model in MODELS} >= REQUESTS
