"""Agents of known frameworks as handlers, taken as they are: known by their classes, imported by nobody here.

    pydantic_ai.Agent                  await agent.run(text)                 its output
    langgraph CompiledStateGraph       await graph.ainvoke(state, config)    effects of its last state, or it
    agents.Agent (OpenAI)              await Runner.run(agent, text)         its final output
    agent_framework.Agent (Microsoft)  await agent.run(text)                 its value, or its text

A framework is a line below. What is asked is the task's body; what comes out means what it would mean of a
function, but for two things: a text is no effect, so it is the result's value; and a model of pydantic's is
the effect that its fields are.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from squall.services.handlers import PoisonError, Result, Task


@dataclass(frozen=True)
class Framework:
    """A framework.

    Attributes:
        package: The first part of the name of the module that has the class.
        classes: What the classes are called.
        method: What an agent of it has; else it is something else of that name.
        ask: Gives a task to an agent.
    """

    package: str
    classes: tuple[str, ...]
    method: str
    ask: Callable[[Any, Task], Awaitable[Any]]

    def has(self, handler: object) -> bool:
        """Whether this is an agent of it, or of a class that is derived from its own."""
        return callable(getattr(handler, self.method, None)) and any(
            base.__module__.partition(".")[0] == self.package and base.__name__ in self.classes
            for base in type(handler).__mro__
        )


async def _pydantic_ai(agent: Any, task: Task) -> Any:
    return (await agent.run(_text(task))).output


async def _langgraph(graph: Any, task: Task) -> Any:
    try:
        state = msgspec.json.decode(task.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PoisonError("its body is no JSON, which a graph's state is made of") from error
    if not isinstance(state, dict):
        raise PoisonError("its body is no JSON object, which a graph's state is")
    # A checkpointer adds to what it has of a thread: each attempt has one of its own.
    config = {"configurable": {"thread_id": f"{task.id}-{task.attempt}"}}
    last = await graph.ainvoke(state, config)
    if isinstance(last, dict) and isinstance(last.get("effects"), list | tuple):
        return list(last["effects"])
    return Result(value=msgspec.json.encode(last, enc_hook=_fields))


async def _openai_agents(agent: Any, task: Task) -> Any:
    # Its own package is imported, or there would be no agent of it.
    return (await sys.modules["agents"].Runner.run(agent, _text(task))).final_output


async def _agent_framework(agent: Any, task: Task) -> Any:
    answer = await agent.run(_text(task))
    value = getattr(answer, "value", None)
    return answer.text if value is None else value


FRAMEWORKS = (
    Framework("pydantic_ai", ("Agent", "AbstractAgent"), "run", _pydantic_ai),
    Framework("langgraph", ("CompiledStateGraph", "Pregel"), "ainvoke", _langgraph),
    Framework("agents", ("Agent",), "as_tool", _openai_agents),
    Framework("agent_framework", ("Agent", "ChatAgent", "BaseAgent", "RawAgent"), "run", _agent_framework),
)


class Adapted:
    """A handler that gives its tasks to an agent."""

    def __init__(self, framework: Framework, agent: object) -> None:
        self._ask = framework.ask
        self._agent = agent

    async def __call__(self, task: Task) -> Any:
        return _meant(await self._ask(self._agent, task))


def adapted(handler: object) -> Adapted | None:
    """A handler that gives its tasks to an agent of a known framework; None for whatever is none."""
    framework = next((each for each in FRAMEWORKS if each.has(handler)), None)
    return None if framework is None else Adapted(framework, handler)


def _text(task: Task) -> str:
    try:
        return task.body.decode()
    except UnicodeDecodeError as error:
        raise PoisonError("its body is no text, which an agent is asked by") from error


def _meant(output: Any) -> Any:
    """What an agent's output means as a handler's return value."""
    if isinstance(output, str):
        return Result(value=output.encode())
    if isinstance(output, list | tuple):
        return [_fields(each) for each in output]
    return _fields(output)


def _fields(value: Any) -> Any:
    """The fields of a pydantic model, and everything else as it is."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) and not isinstance(value, type) else value
