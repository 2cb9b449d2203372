"""Agents of frameworks are handlers as they are. Where a framework is not installed, classes of its shape."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import msgspec
import pytest

from squall.bus.ended import Done, Ended, Failed
from squall.bus.messages import RunTask
from squall.services.errors import SpecError
from squall.services.handlers.loading import check
from squall.services.handlers.mistakes import begins
from squall.services.handlers.python import PythonHandler

pytestmark = pytest.mark.anyio


def of_module(name: str, **inside: Any) -> types.ModuleType:
    """A module of this name, with classes that say they are of it."""
    module = types.ModuleType(name)
    for each, value in inside.items():
        setattr(module, each, value)
        if isinstance(value, type):
            value.__module__ = name
    return module


class Output:
    def __init__(self, **said: Any) -> None:
        self.__dict__.update(said)


class Order(Output):
    """As a pydantic model is."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        return dict(self.__dict__)


ORDER = {"account": "a", "symbol": "s", "n": 7, "side": "buy", "quantity": 1, "price": 1.0}


async def attempt(agent: object, body: bytes = b'{"ask": "what to buy"}', number: int = 1) -> Ended:
    handler = check("mine:agent", agent)
    assert begins(handler) is None
    opened = PythonHandler(handler, timeout_s=10.0, slots=2, stuck=lambda: pytest.fail("called stuck"))
    return await opened.run(RunTask(task="t-1", key="k", job="j", number=7, body=body), number)


def pydantic_agent(output: Any) -> Any:
    class Agent:
        async def run(self, text: str) -> Output:
            assert text == '{"ask": "what to buy"}'
            return Output(output=output)

    of_module("pydantic_ai.agent", Agent=Agent)

    class Mine(Agent):
        """A user's own, derived from it."""

    return Mine()


@pytest.mark.parametrize(
    ("output", "came_of"),
    [
        ("hold", Done((), b"hold")),
        (Order(**ORDER), Done((msgspec.json.encode(ORDER),))),
        ([Order(**ORDER), ORDER], Done((msgspec.json.encode(ORDER),) * 2)),
        (None, Done()),
    ],
)
async def test_a_pydantic_ai_agent_is_asked_with_the_body_and_its_output_is_what_it_would_return(
    output: Any, came_of: Done
) -> None:
    assert await attempt(pydantic_agent(output)) == came_of


async def test_a_langgraph_graph_has_a_thread_of_each_attempt() -> None:
    seen: list[tuple[Any, Any]] = []

    class CompiledStateGraph:
        async def ainvoke(self, state: Any, config: Any) -> Any:
            seen.append((state, config["configurable"]["thread_id"]))
            return {**state, "effects": [ORDER]} if state.get("ask") else {"said": Order(a=1)}

    of_module("langgraph.graph.state", CompiledStateGraph=CompiledStateGraph)
    graph = CompiledStateGraph()
    assert await attempt(graph, number=3) == Done((msgspec.json.encode(ORDER),))
    assert await attempt(graph, b"{}") == Done((), b'{"said":{"a":1}}')
    assert seen == [({"ask": "what to buy"}, "t-1-3"), ({}, "t-1-1")]
    ended = await attempt(graph, b"\x81")
    assert isinstance(ended, Failed)
    assert ended.final


@pytest.fixture
def openai_agents(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    class Agent:
        def as_tool(self) -> None: ...

    class Runner:
        @staticmethod
        async def run(agent: Agent, text: str) -> Output:
            return Output(final_output=f"{type(agent).__name__} was asked {len(text)} characters")

    module = of_module("agents", Agent=Agent, Runner=Runner)
    monkeypatch.setitem(sys.modules, "agents", module)
    return module


async def test_an_openai_agent_is_run_by_its_own_runner(openai_agents: Any) -> None:
    assert await attempt(openai_agents.Agent()) == Done((), b"Agent was asked 22 characters")


async def test_an_agent_of_microsofts_framework_answers_with_its_value_or_its_text() -> None:
    class Agent:
        value: Any = None

        async def run(self, text: str) -> Output:
            return Output(text="hold", value=self.value)

    of_module("agent_framework._agents", Agent=Agent)
    agent = Agent()
    assert await attempt(agent) == Done((), b"hold")
    agent.value = Order(**ORDER)
    assert await attempt(agent) == Done((msgspec.json.encode(ORDER),))


def test_a_class_that_is_only_called_agent_is_none_of_theirs() -> None:
    class Agent:
        async def run(self, text: str) -> None: ...

    with pytest.raises(SpecError, match="is not a function"):
        check("mine:agent", Agent())


def test_an_agent_takes_no_parameters() -> None:
    with pytest.raises(SpecError, match="is an agent, which takes no parameters"):
        check("mine:agent", pydantic_agent("hold"), {"temperature": 1})


# The real ones, where they are installed: no network is used.


async def test_pydantic_ais_test_model_runs_unchanged() -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    models = importlib.import_module("pydantic_ai.models.test")
    ended = await attempt(pydantic_ai.Agent(models.TestModel(custom_output_text="hold")))
    assert ended == Done((), b"hold")


async def test_a_langgraph_of_plain_functions_runs_unchanged() -> None:
    graphs = pytest.importorskip("langgraph.graph")
    graph = graphs.StateGraph(dict)
    graph.add_node("decide", lambda state: {"effects": [{"asked": state["ask"]}]})
    graph.add_edge(graphs.START, "decide")
    graph.add_edge("decide", graphs.END)
    assert await attempt(graph.compile()) == Done((b'{"asked":"what to buy"}',))


async def test_an_openai_agent_runs_unchanged() -> None:
    agents = pytest.importorskip("agents")
    interface = importlib.import_module("agents.models.interface")
    responses = importlib.import_module("openai.types.responses")

    class Says(interface.Model):  # type: ignore[misc, name-defined]
        async def get_response(self, *args: Any, **more: Any) -> Any:
            text = responses.ResponseOutputText(text="hold", type="output_text", annotations=[])
            said = responses.ResponseOutputMessage(
                id="1", content=[text], role="assistant", status="completed", type="message"
            )
            usage = importlib.import_module("agents.usage").Usage()
            return agents.ModelResponse(output=[said], usage=usage, response_id=None)

        def stream_response(self, *args: Any, **more: Any) -> Any:
            raise NotImplementedError

    assert await attempt(agents.Agent(name="mine", model=Says())) == Done((), b"hold")


async def test_an_agent_of_microsofts_framework_runs_unchanged() -> None:
    framework = pytest.importorskip("agent_framework")

    class Says(framework.BaseChatClient):  # type: ignore[misc, name-defined]
        async def _inner_get_response(self, **more: Any) -> Any:
            said = framework.Message(role="assistant", contents=["hold"])
            return framework.ChatResponse(messages=[said], response_id="1")

    assert await attempt(framework.Agent(Says())) == Done((), b"hold")
