"""The manager with one more route, whose answer is a constant: what a route can cost at least.

The route goes through the same server, middlewares and FastAPI as all others. PUT sets the constant.
"""

from fastapi import FastAPI, Request, Response

import benchmarks.as_installed  # noqa: F401  # before structlog
import coredinator.app
from benchmarks.paths import CONSTANT
from coredinator.settings import Settings
from coredinator.store import Mirror

_create_app = coredinator.app.create_app


def create_app(settings: Settings, mirror: Mirror) -> FastAPI:
    """The manager's application, and the route."""
    app = _create_app(settings, mirror)
    constant = b""

    @app.put(CONSTANT)
    async def put(request: Request) -> None:
        nonlocal constant
        constant = await request.body()

    @app.get(CONSTANT)
    async def get() -> Response:
        return Response(constant, media_type="application/json")

    # The first route that fits is taken: found at once, it is as cheap as it can be.
    app.router.routes.insert(0, app.router.routes.pop())
    return app


if __name__ == "__main__":
    coredinator.app.create_app = create_app
    coredinator.app.main()
