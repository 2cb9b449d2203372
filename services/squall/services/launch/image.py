"""The image that nodes run from, and whether it is the code that this command is of."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

from squall.bus.border import printable
from squall.services.errors import SpecError
from squall.services.launch.engine import Engine, EngineError
from squall.services.revision import revision

IMAGE_ENV = "SQUALL_IMAGE"
"""Environment variable that names the image to use."""


def image() -> str:
    """What ``SQUALL_IMAGE`` names, or the one of this version."""
    return os.environ.get(IMAGE_ENV) or f"squall:{importlib.metadata.version('squall')}"


def _building() -> str:
    """How to have it."""
    source = Path(__file__).parents[4]
    place = source if (source / "Dockerfile").is_file() else "the folder of its Dockerfile"
    return f"build it with `docker build --tag {image()} {place}`"


async def checked_image(engine: Engine) -> str:
    """The name of the image, which is there and holds the code of this command.

    Raises:
        SpecError: It is not, or does not.
        EngineError: The engine does not say.
    """
    name = image()
    try:
        await engine.ask("image", "inspect", "--format", "{{.Id}}", name)
    except EngineError as error:
        if "No such image" not in str(error):
            raise
        raise SpecError(f"there is no image {printable(name, 200)}", _building()) from error
    run = (
        "run",
        "--rm",
        "--pull",
        "never",
        "--network",
        "none",
        "--label",
        "squall=",
        "--log-driver",
        "none",
    )
    try:
        found = (await engine.ask(*run, name, "python", "-m", "squall.services.revision")).strip()
    except EngineError as error:
        raise SpecError(
            f"the image {printable(name, 200)} does not run Squall: {error}", _building()
        ) from error
    if found != revision():
        raise SpecError(
            f"the image {printable(name, 200)} holds another Squall ({printable(found, 20)}) than this "
            f"command is of ({revision()})",
            _building(),
        )
    return name
