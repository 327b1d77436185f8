"""The one place that turns errors into HTTP."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from coredinator import __version__
from coredinator.errors import (
    ConfigError,
    ExecutableNotFound,
    FilesUnavailable,
    InvalidId,
    InvalidLimits,
    StoreError,
    UnitConflict,
    UnknownService,
)
from coredinator.systemd import SystemdError, SystemdUnavailable
from coredinator.web.models import InvalidRequest, Problem

_log = logging.getLogger(__name__)

RETRY_AFTER = "2"
VERSION_HEADER = "X-CoreRL-Version"

_STATUS: dict[type[Exception], int] = {
    ConfigError: 400,
    InvalidId: 422,
    InvalidLimits: 422,
    ExecutableNotFound: 409,
    UnknownService: 404,
    UnitConflict: 409,
    StoreError: 503,
    FilesUnavailable: 503,
    SystemdUnavailable: 503,
    SystemdError: 502,
}

_MEANING = {
    400: "The body is no text, or the config cannot be used; the detail says which, with file and line",
    403: "A web page of an origin that is not allowed asks",
    404: "There is no such service",
    408: "The request took too long to arrive",
    409: "What is asked for contradicts what runs or what is there; the detail says how",
    413: "The body is too large",
    422: "The request is malformed, or an id cannot become the name of a unit",
    502: "systemd refused",
    503: "systemd, the state database or a disk is out of reach, or too many large requests come at a time; try again",
}
_MODELS: dict[int, type[BaseModel]] = {422: InvalidRequest}


def problems(*codes: int) -> dict[int | str, dict[str, object]]:
    """The OpenAPI entries of error answers."""
    return {code: {"model": _MODELS.get(code, Problem), "description": _MEANING[code]} for code in codes}


def install_error_handlers(app: FastAPI) -> None:
    """Answer every known error with its status code and a `detail`."""
    for kind in _STATUS:
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(Exception, _unexpected)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    _log.info("%s %s: %d %s", request.method, request.url.path, status, error)
    headers = {"Retry-After": RETRY_AFTER} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse({"detail": str(error)}, status, headers)


async def _malformed(_request: Request, error: Exception) -> JSONResponse:
    """As FastAPI does it, less the input: that may be large, or be nothing that JSON or UTF-8 can hold."""
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    return JSONResponse({"detail": [{key: problem[key] for key in ("type", "loc", "msg")} for problem in found]}, 422)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # Starlette answers these outside of all middleware, so the header is set here.
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = "internal error; the log of the service has the details (journalctl -u coredinator)"
    return JSONResponse({"detail": detail}, 500, {VERSION_HEADER: __version__})
