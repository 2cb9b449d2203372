"""Handlers as people write them, each with what is said of it; see `test_handlers_as_people_write_them.py`.

``NO_ORDER`` and ``UNSENT`` stand for the words that many of the sentences have in common.
"""

# ruff: noqa: E501

from __future__ import annotations

FAILING = {
    "a string": (
        """
def decide(task):
    return 'buy'
""",
        "NO_ORDER this is the text 'buy'",
    ),
    "a number": (
        """
def decide(task):
    return 1
""",
        "NO_ORDER this is the number 1",
    ),
    "a list of numbers": (
        """
def decide(task):
    return [1, 2]
""",
        "NO_ORDER this is the number 1",
    ),
    "True": (
        """
def decide(task):
    return True
""",
        "NO_ORDER this is true",
    ),
    "bytes": (
        """
def decide(task):
    return b'buy'
""",
        "NO_ORDER this is the text 'YnV5'",
    ),
    "an order without a price": (
        """
def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1}
""",
        "NO_ORDER price is missing",
    ),
    "another spelling of a field": (
        """
def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "qty": 1, "price": 1.0}
""",
        "NO_ORDER quantity is missing, and 'qty' is none of them; did you mean quantity?",
    ),
    "a side in capitals": (
        """
def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "BUY", "quantity": 1, "price": 1.0}
""",
        "NO_ORDER side must be buy, sell or none, not the text 'BUY'",
    ),
    "a quantity with a fraction": (
        """
def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1.5, "price": 1.0}
""",
        "NO_ORDER quantity must be a whole number from 0 to 2^63 - 1, not the number 1.5",
    ),
    "a quantity below zero": (
        """
def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "sell", "quantity": -3, "price": 1.0}
""",
        "NO_ORDER quantity must be a whole number from 0 to 2^63 - 1, not the number -3",
    ),
    "a price as text": (
        """
def decide(task):
    price = f"{task.number}.5"
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": price}
""",
        "NO_ORDER price must be a number, not the text '1.5'",
    ),
    "no price yet": (
        """
def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": None}
""",
        "NO_ORDER price must be a number, not null",
    ),
    "an order of orders": (
        """
def decide(task):
    order = {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
    return {"orders": [order]}
""",
        "NO_ORDER account is missing",
    ),
    "a price that is no number": (
        """
def decide(task):
    price = float("inf") - float("inf")
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": price}
""",
        "UNSENT price is nan, and JSON has no such number",
    ),
    "an array of NumPy": (
        """
class ndarray:
    ndim = 1


def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": ndarray()}
""",
        "UNSENT a value of type ndarray cannot be written as JSON",
    ),
    "a date": (
        """
import datetime


class Bar:
    day = datetime.date(2024, 1, 2)


def decide(task):
    return {"account": "a", "bar": Bar()}
""",
        "UNSENT a value of type Bar cannot be written as JSON",
    ),
    "a Result with a text": (
        """
from squall.services.handlers import Result


def decide(task):
    return Result(value="bought")
""",
        "UNSENT Result.value is of type str; give bytes",
    ),
    "a Result with one effect": (
        """
from squall.services.handlers import Result


def decide(task):
    return Result({"account": "a"})
""",
        "UNSENT Result.effects is of type dict; give a tuple of effects",
    ),
    "a generator expression": (
        """
def decide(task):
    return ({"account": "a", "n": n} for n in range(2))
""",
        "UNSENT a generator; return a list of effects instead of yielding them",
    ),
    "a map": (
        """
def decide(task):
    return map(str, [1])
""",
        "UNSENT an iterator of type map; return a list of effects",
    ),
    "a coroutine that is not awaited": (
        """
async def quote():
    return 1.0


def decide(task):
    price = quote()
    price.close()
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": price}
""",
        "UNSENT a coroutine that nobody has awaited",
    ),
    "raises": (
        """
def size(risk):
    return 100 / risk


def decide(task):
    risk = 0
    return {"account": "a", "quantity": size(risk)}
""",
        "raised ZeroDivisionError: division by zero, at mine.py:2 in size: return 100 / risk",
    ),
    "async raises": (
        """
async def quote(symbol):
    raise LookupError(f"no quote for {symbol}")


async def decide(task):
    price = await quote("wti")
    return {"account": "a", "price": price}
""",
        'raised LookupError: no quote for wti, at mine.py:2 in quote: raise LookupError(f"no quote for {symbol}")',
    ),
    "raises in a library": (
        """
import json


def decide(task):
    return json.loads(task.body)
""",
        "raised JSONDecodeError: Expecting value: line 1 column 1 (char 0), at mine.py:5 in decide: return json.loads(task.body)",
    ),
    "an attribute that a task has not": (
        """
def decide(task):
    return {"account": task.account}
""",
        "raised AttributeError: 'Task' object has no attribute 'account', at mine.py:2 in decide: return {\"account\": task.account}",
    ),
    "misspelt": (
        """
def decide(task):
    return {'account': acount}
""",
        "raised NameError: name 'acount' is not defined, at mine.py:2 in decide: return {'account': acount}",
    ),
    "not an exception": (
        """
def decide(task):
    raise "no quote"
""",
        'raised TypeError: exceptions must derive from BaseException, at mine.py:2 in decide: raise "no quote"',
    ),
    "exits": (
        """
import sys


def decide(task):
    sys.exit("no licence")
""",
        'raised SystemExit: no licence, at mine.py:5 in decide: sys.exit("no licence")',
    ),
    "is interrupted": (
        """
async def decide(task):
    raise KeyboardInterrupt
""",
        "raised KeyboardInterrupt, at mine.py:2 in decide: raise KeyboardInterrupt",
    ),
    "waits for a lock that it holds": (
        """
import threading

LOCK = threading.Lock()
LOCK.acquire()


def decide(task):
    LOCK.acquire(timeout=0.5)
""",
        "did not return within 0.2 s; it stood at mine.py:8 in decide",
    ),
    "waits for ever": (
        """
import asyncio


async def answer():
    await asyncio.Event().wait()


async def decide(task):
    return await answer()
""",
        "did not return within 0.2 s; it stood at mine.py:5 in answer, called at mine.py:9 in decide",
    ),
    "blocks for ever": (
        """
import threading

FREE = threading.Event()


def decide(task):
    FREE.wait(0.5)
""",
        "did not return within 0.2 s; it stood at mine.py:7 in decide",
    ),
}

TELLING = {
    "a Decimal": (
        """
from decimal import Decimal


def decide(task):
    price = Decimal("101.25")
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": price}
""",
        "",
    ),
    "a scalar of NumPy": (
        """
class float64:  # as NumPy's are
    ndim = 0

    def item(self):
        return 101.25


def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": float64()}
""",
        "",
    ),
    "a wrapped async function": (
        """
import functools


def logged(function):
    @functools.wraps(function)
    def wrapper(task):
        return function(task)

    return wrapper


@logged
async def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
""",
        "",
    ),
    "runs a loop at import": (
        """
import asyncio


async def warm_up():
    return 1.0


PRICE = asyncio.run(warm_up())


def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": PRICE}
""",
        "",
    ),
    "gives up": (
        """
from squall.services.handlers import PoisonError


def decide(task):
    if task.number == 2:
        raise PoisonError("a day without a close")
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
""",
        "it gave up 1 task itself, the first a-2: a day without a close",
    ),
    "nothing for some": (
        """
def decide(task):
    if task.number % 2:
        return None
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
""",
        "it returned no order for 2 tasks, the first a-1",
    ),
    "a value and no order": (
        """
from squall.services.handlers import Result


def decide(task):
    return Result(value=b"hold")
""",
        "",
    ),
    "fails at first": (
        """
def decide(task):
    if task.attempt == 1:
        raise ConnectionError("503 from the model")
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
""",
        "4 attempts failed, and their tasks ended well after that",
    ),
}

IDLE = {
    "nothing": """
def decide(task):
    pass
""",
    "an order that it does not return": """
async def decide(task):
    order = {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
""",
    "an empty list": """
def decide(task):
    return [order for order in () if order]
""",
    "an empty Result": """
from squall.services.handlers import Result


def decide(task):
    return Result()
""",
}

REFUSED = {
    "a syntax error": (
        """
def decide(task):
    return {'account': 'a'
""",
        "cannot be imported: SyntaxError: '{' was never closed, at mine.py:2: return {'account': 'a'; Python cannot read that line",
    ),
    "an indentation error": (
        """
def decide(task):
return 1
""",
        "cannot be imported: IndentationError: expected an indented block after function definition on line 1, at mine.py:2: return 1; Python cannot read that line",
    ),
    "a neighbour that is not there": (
        """
from strategies import momentum


def decide(task):
    return momentum(task)
""",
        "cannot be imported: ModuleNotFoundError: No module named 'strategies', at mine.py:1: from strategies import momentum; install strategies, or put it into the current folder",
    ),
    "fails at import": (
        """
RATES = {}
DEFAULT = RATES['usd']


def decide(task):
    return None
""",
        "cannot be imported: KeyError: 'usd', at mine.py:2: DEFAULT = RATES['usd']; its module must be importable without arguments and without a terminal",
    ),
    "runs as a program": (
        """
import sys


def decide(task):
    return None


sys.exit(0)
""",
        'cannot be imported: SystemExit: 0, at mine.py:8: sys.exit(0); put what its module runs as a program under `if __name__ == "__main__":`',
    ),
    "parses arguments": (
        """
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--risk", required=True)
ARGUMENTS = parser.parse_args([])


def decide(task):
    return None
""",
        'cannot be imported: SystemExit: 2, at mine.py:5: ARGUMENTS = parser.parse_args([]); put what its module runs as a program under `if __name__ == "__main__":`',
    ),
    "yields": (
        """
def decide(task):
    yield {"account": "a"}
""",
        "yields its effects; return a list of them instead of yielding them",
    ),
    "no argument": (
        """
def decide():
    return None
""",
        "does not take one argument, the task; write it as def decide(task)",
    ),
    "two arguments": (
        """
def decide(task, context):
    return None
""",
        "does not take one argument, the task: it needs 'context' too; give it a default, or use functools.partial",
    ),
    "another name": (
        """
def handle(task):
    return None
""",
        "is not there: mine has no 'decide'; check the name behind the colon; the module is mine.py",
    ),
    "no function": (
        """
decide = {'account': 'a'}
""",
        "is not a function; ",
    ),
    "a class": (
        """
class decide:
    def __init__(self):
        self.risk = 1

    def __call__(self, task):
        return None
""",
        "does not take one argument, the task; it is a class: name a function, or an instance that can be called",
    ),
}

MIXED = (
    """
def decide(task):
    order = {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
    if task.number == 1:
        raise KeyError("close")
    if task.number == 2:
        return {**order, "price": None}
    if task.number == 3:
        return object()
    return order
""",
    "The handler mine:decide failed 3 of 4 tasks: it raised KeyError: 'close', at mine.py:4 in decide: raise KeyError(\"close\") (1 task, the first a-1); it returned what cannot be sent: a value of type object cannot be written as JSON; it begins at mine.py:1 in decide (1 task, the first a-3); it returned what is no order: an order needs account, symbol, n, side, quantity and price; price must be a number, not null; it begins at mine.py:1 in decide (1 task, the first a-2).",
)
