"""A result as JUnit XML, for continuous integration: one test case a check.

An unknown verdict becomes an *error*, not *skipped*: most readers show a skipped
case as harmless, and unknown must never look like a pass.
"""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from squall.bus.border import masked
from squall.services.run.result import Result


def render(result: Result) -> bytes:
    """The file's content."""
    verdicts = [check.verdict for check in result.checks]
    counts = {
        "tests": str(len(verdicts)),
        "failures": str(verdicts.count("fail")),
        "errors": str(verdicts.count("unknown")),
    }
    time = {} if result.duration_s is None else {"time": f"{result.duration_s:.3f}"}
    suites = Xml.Element("testsuites", counts)
    suite = Xml.SubElement(suites, "testsuite", {"name": masked(f"squall {result.run}"), **counts, **time})
    for check in result.checks:
        case = Xml.SubElement(
            suite,
            "testcase",
            {
                "classname": masked(f"squall.{result.pattern or 'unknown'}"),
                "name": masked(f"{check.id} {check.name}"),
            },
        )
        if check.verdict != "pass":
            kind = "failure" if check.verdict == "fail" else "error"
            Xml.SubElement(case, kind, {"message": masked(check.detail), "type": check.verdict})
    Xml.indent(suites)
    content: bytes = Xml.tostring(suites, encoding="utf-8", xml_declaration=True)
    return content + b"\n"
