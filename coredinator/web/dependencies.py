"""What the routes take from the application."""

from typing import Annotated

from fastapi import Depends, Request

from coredinator.agent.agents import Agents
from coredinator.agent.demo import TepDemo
from coredinator.agent.one_offs import OneOffs
from coredinator.runtime import Runtime


async def _runtime(request: Request) -> Runtime:
    return request.app.state.runtime


async def _agents(request: Request) -> Agents:
    return request.app.state.runtime.agents


async def _demo(request: Request) -> TepDemo:
    return request.app.state.runtime.demo


async def _one_offs(request: Request) -> OneOffs:
    return request.app.state.runtime.one_offs


RuntimeOf = Annotated[Runtime, Depends(_runtime)]
AgentsOf = Annotated[Agents, Depends(_agents)]
DemoOf = Annotated[TepDemo, Depends(_demo)]
OneOffsOf = Annotated[OneOffs, Depends(_one_offs)]
