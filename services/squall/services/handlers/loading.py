"""Finding a handler by its name. What its module does while it is imported ends as one sentence.

path/to/file.py:function       the file
package.module:function        a module of the current folder, or an installed one
the same, and its `Origin`     the module as the process has it that hands the handler on
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from squall.bus.border import printable
from squall.services.errors import SpecError
from squall.services.handlers import Handler, Voter
from squall.services.handlers.frameworks import adapted
from squall.services.handlers.mistakes import frames_of, own_files
from squall.services.handlers.outcome import describe
from squall.services.node.service import Origin

NONE: Mapping[str, Any] = MappingProxyType({})
"""No parameters."""

INSTALLED = ("site-packages", "dist-packages")
"""What folders of installed packages are called."""


def load(name: str, origin: Origin | None = None, parameters: Mapping[str, Any] = NONE) -> Handler:
    """The function behind ``package.module:function`` or ``path/to/file.py:function``.

    A module of the current folder is found, and finds its neighbours. Its folder comes behind all others on
    ``sys.path``, so that a neighbour named like a library hides that library from nobody.

    Args:
        name: What is behind the colon may be inside something: ``mine:agent.decide``.
        origin: How the process imported its module that hands the handler on.
        parameters: What it is called with beside the task, by keyword.

    Raises:
        SpecError: It cannot be imported, or is no function of one argument and these.
    """
    module_name, _, function_name = name.rpartition(":")
    try:
        module = _imported(module_name, origin)
        handler: object = module
        for part in function_name.split("."):
            handler = getattr(handler, part, None)
    except BaseException as error:  # a module may raise anything, `sys.exit` and pytest's skipping included
        raise SpecError(
            f"the handler {name} cannot be imported: {_said(error)}", _remedy(error, module_name)
        ) from error
    if handler is None:
        place = getattr(module, "__file__", None) or "Python itself"
        raise SpecError(
            f"the handler {name} is not there: {module_name} has no {function_name!r}",
            f"check the name behind the colon; the module is {place}",
        )
    return check(name, handler, parameters)


def check(name: str, handler: object, parameters: Mapping[str, Any] = NONE) -> Handler:
    """A handler, if it can be called with a task.

    Args:
        parameters: What it is called with beside the task, by keyword.

    Raises:
        SpecError: It cannot.
    """
    if (agent := adapted(handler)) is not None:
        if parameters:
            raise SpecError(
                f"the handler {name} is an agent, which takes no parameters",
                "see [handler]; set them where it is made",
            )
        return agent
    if not callable(handler):
        raise SpecError(f"the handler {name} is not a function")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise SpecError(
            f"the handler {name} yields its effects", "return a list of them instead of yielding them"
        )
    try:
        inspect.signature(handler).bind(None, **parameters)
    except TypeError as error:
        if strange := _strange(handler, parameters):
            takes = ", ".join(_by_keyword(handler)) or "none"
            raise SpecError(
                f"the handler {name} takes no parameter {strange!r}", f"it takes {takes}; see [handler]"
            ) from error
        needed = "" if inspect.isclass(handler) else _needed_too(handler, parameters)
        also = f": it needs {needed!r} too" if needed else ""
        raise SpecError(
            f"the handler {name} does not take one argument, the task{also}",
            _remedy_of_arguments(handler, needed),
        ) from error
    except ValueError:
        pass  # some built-in callables have no signature; calling them will tell
    return functools.partial(handler, **parameters) if parameters else handler


def vote_of(name: str, handler: Handler) -> Voter | None:
    """How votes are cast that stands beside a handler: ``vote``, of its object or its module; None without.

    Raises:
        SpecError: It cannot be called with a task and a proposal.
    """
    handler = handler.func if isinstance(handler, functools.partial) else handler
    owner = getattr(handler, "__self__", handler)
    vote = getattr(owner, "vote", None) or getattr(
        sys.modules.get(getattr(handler, "__module__", "")), "vote", None
    )
    if vote is None:
        return None
    try:
        inspect.signature(vote).bind(None, None)
    except (TypeError, ValueError) as error:
        raise SpecError(
            f"the vote beside the handler {name} does not take two arguments, the task and the proposal",
            "write it as def vote(task, proposal), or call it something else",
        ) from error
    found: Voter = vote
    return found


def _by_keyword(handler: Callable[..., object]) -> list[str]:
    """What can be given to a handler by keyword beside the task."""
    kinds = inspect.Parameter
    taken = list(inspect.signature(handler).parameters.values())
    first = next((each.name for each in taken if each.kind is not kinds.KEYWORD_ONLY), "")
    named = (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    return [each.name for each in taken if each.kind in named and each.name != first]


def _strange(handler: Callable[..., object], parameters: Mapping[str, Any]) -> str:
    """The first parameter that a handler does not take; empty if it takes them all."""
    taken = inspect.signature(handler).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in taken):
        return ""
    known = _by_keyword(handler)
    return next((printable(name, 60) for name in parameters if name not in known), "")


def _needed_too(handler: Callable[..., object], given: Mapping[str, Any]) -> str:
    """The first argument beside the task that has no default and is not given; empty if there is none."""
    kinds = inspect.Parameter
    taken = list(inspect.signature(handler).parameters.values())
    by_place = [each for each in taken if each.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    if not by_place and all(each.kind is not kinds.VAR_POSITIONAL for each in taken):
        return ""
    others = [*by_place[1:], *(each for each in taken if each.kind is kinds.KEYWORD_ONLY)]
    return next((each.name for each in others if each.default is kinds.empty and each.name not in given), "")


def _remedy_of_arguments(handler: Callable[..., object], needed: str) -> str:
    if inspect.isclass(handler):
        return "it is a class: name a function, or an instance that can be called"
    if needed:
        return "give it a default, or use functools.partial"
    return "write it as def decide(task)"


def _said(error: BaseException) -> str:
    """What an import raised, and where: of a syntax error, the line that Python cannot read."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        line = (error.text or "").strip()
        read = f": {line}" if line else ""
        return printable(f"{type(error).__name__}: {error.msg}, at {error.filename}:{error.lineno}{read}")
    frames = frames_of(error, own_files(None))
    return f"{describe(error)}, at {frames[-1]}" if frames else describe(error)


def _remedy(error: BaseException, module_name: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == module_name.split(".")[0]:
        return "check the name, and that its folder is the current one or installed"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install {printable(error.name, 60)}, or put it into the current folder"
    if isinstance(error, FileNotFoundError):
        return "check the path, which is taken from the current folder"
    if isinstance(error, SystemExit):
        return 'put what its module runs as a program under `if __name__ == "__main__":`'
    if isinstance(error, SyntaxError):
        return "Python cannot read that line"
    return "its module must be importable without arguments and without a terminal"


def _imported(name: str, origin: Origin | None) -> ModuleType:
    if name.endswith(".py"):
        return _file(Path(name))
    if origin is None:
        return _module(name)
    _search(origin.path)
    return _as_there(name, Path(origin.file)) if origin.file else _module(name)


def _search(path: Iterable[str]) -> None:
    """Look for modules where another process does: behind Python's own, before what is installed."""
    at = next((i for i, entry in enumerate(sys.path) if Path(entry).name in INSTALLED), len(sys.path))
    sys.path[at:at] = [entry for entry in path if entry not in sys.path]


def _as_there(name: str, file: Path) -> ModuleType:
    """A module by the name that another process has it under, from the same file.

    Where that process found it in a way of its own, as pytest does with ``--import-mode=importlib``, its
    packages are made of the folders above it, so that it may import from them.
    """
    place = file.parent if file.name == "__init__.py" else file
    outer = [place, *place.parents][name.count(".")]
    top = name.partition(".")[0]
    found = importlib.util.find_spec(top)
    if found is not None and str(outer) in (found.origin, *(found.submodule_search_locations or ())):
        return importlib.import_module(name)
    return _placed(name, place)


def _placed(name: str, place: Path) -> ModuleType:
    """A module or package of a file or folder, under a name, inside the packages that the name says."""
    parent, _, own = name.rpartition(".")
    outer = (sys.modules.get(parent) or _placed(parent, place.parent)) if parent else None
    if name in sys.modules and outer is not None:
        return sys.modules[name]
    folders = [str(place)] if place.is_dir() else None
    file = place if folders is None else place / "__init__.py"
    if file.is_file():
        spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
        if spec is None:
            raise ImportError(f"{file} is no Python file")
        module = _execute(spec)
    else:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = folders
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
    if outer is not None:
        setattr(outer, own, module)
    return module


def _module(name: str) -> ModuleType:
    """A module by its name."""
    top = name.split(".")[0]
    if top not in sys.modules:
        here = Path.cwd()
        spec = PathFinder.find_spec(top, [str(here)])
        # A folder without an __init__.py is a package only where nothing else has its name.
        if spec is not None and (spec.origin is not None or importlib.util.find_spec(top) is None):
            _append(here)
            if spec.origin is not None:
                _execute(spec)
    return importlib.import_module(name)


def _file(path: Path) -> ModuleType:
    """A module by the file that holds it."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path.absolute())
    if spec is None:
        raise ImportError(f"{path} is no Python file")
    _append(path.absolute().parent)
    _append(Path.cwd())
    return _execute(spec)


def _append(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _execute(spec: ModuleSpec) -> ModuleType:
    """Import what was found, without looking for it elsewhere."""
    if spec.loader is None:
        raise ImportError(f"{spec.name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    known = sys.modules.setdefault(spec.name, module)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if known is module:
            del sys.modules[spec.name]
        raise
    return module
