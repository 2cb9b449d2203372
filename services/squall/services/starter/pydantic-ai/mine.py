"""What a task is given to: an agent of pydantic-ai, taken as it is. Its answer, an `Order`, is carried out.

The model is a function here, so that it needs no network and no key; put a real one in its place, and the key
into the swarm by an environment variable.
"""

import json

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel


class Order(BaseModel):
    account: str
    symbol: str
    n: int
    side: str
    quantity: int
    price: float


def think(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    wanted = json.loads(messages[-1].parts[-1].content)
    order = {"account": "mine", "n": 1, **wanted}
    return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, order)])


agent = Agent(FunctionModel(think), output_type=Order)
