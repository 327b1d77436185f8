"""What the OpenAPI page says of every operation alike: the answers that come before any route, and the headers."""

from typing import Any, override

from fastapi import FastAPI

from coredinator.web.errors import VERSION_HEADER, problems

_BEFORE_ANY_ROUTE = problems(403, 408, 413, 503)
_VERSION = {"description": "Version of Coredinator", "schema": {"type": "string"}}
_RETRY_AFTER = {"description": "Seconds after which to try again", "schema": {"type": "string"}}


class Api(FastAPI):
    """A FastAPI application that describes what its middleware does.

    Routes are tried one after the other; `describe` is to be called behind the last one that is added.
    """

    @override
    def setup(self) -> None:
        """Nothing yet: FastAPI would put its documentation before all that is asked for more."""

    def describe(self) -> None:
        """Add the routes of the documentation."""
        super().setup()

    @override
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            _complete(super().openapi())
        return super().openapi()


def _complete(document: dict[str, Any]) -> None:
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in document["paths"].values():
        for operation in operations.values():
            answers: dict[str, Any] = operation["responses"]
            for code, answer in _BEFORE_ANY_ROUTE.items():
                answers.setdefault(str(code), {"description": answer["description"], "content": problem})
            for code, answer in answers.items():
                answer["headers"] = {VERSION_HEADER: _VERSION}
                if code == "503":
                    answer["headers"] |= {"Retry-After": _RETRY_AFTER}
