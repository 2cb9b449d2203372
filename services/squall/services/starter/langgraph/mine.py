"""What a task is given to: a graph of LangGraph, taken as it is.

A task's body is the state that it begins with, and what its last state has as `effects` is carried out. The
nodes are plain functions here; put a model into one.
"""

from typing import Any, NotRequired, TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    symbol: str
    side: str
    quantity: int
    price: float
    effects: NotRequired[list[dict[str, Any]]]


def order(state: State) -> dict[str, Any]:
    return {"effects": [{"account": "mine", "n": 1, **state}]}


building = StateGraph(State)
building.add_node("order", order)
building.add_edge(START, "order")
building.add_edge("order", END)
graph = building.compile()
