"""``squall operate``: have a swarm that runs do something, as its operator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from squall.services.cli.options import AsJson, a_path
from squall.services.cli.sentences import sentences
from squall.services.printing import print_document, print_line
from squall.services.run.operating import say


def operate(
    run: Annotated[Path, typer.Argument(help="The directory of a run that goes on.", parser=a_path)],
    target: Annotated[str, typer.Argument(help="Of what, for instance stage-3.")],
    verb: Annotated[str, typer.Argument(help="A breaker: force-open, disable, observe, or resume.")],
    as_json: AsJson = False,
) -> None:
    """Have a swarm that runs do something: force the breaker of a stage open, disable it, observe, resume."""
    with sentences(as_json=as_json):
        stands = say(run, target, verb)
    if as_json:
        print_document({"stands": stands})
    else:
        print_line(stands)
