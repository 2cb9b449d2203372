"""The verdicts as JUnit XML, which every CI reads."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from squall.services.result import Result


def junit(result: Result) -> bytes:
    """One test case a check. *Unknown* is an error, not a skip: CI must not take it for harmless."""
    suite = ET.Element(
        "testsuite",
        name=f"squall.{result.pattern}",
        tests=str(len(result.checks)),
        failures=str(sum(check.verdict == "fail" for check in result.checks)),
        errors=str(sum(check.verdict == "unknown" for check in result.checks)),
    )
    for check in result.checks:
        case = ET.SubElement(suite, "testcase", classname=result.pattern, name=f"{check.id} {check.name}")
        if check.verdict == "pass":
            ET.SubElement(case, "system-out").text = check.detail
        else:
            ET.SubElement(case, "failure" if check.verdict == "fail" else "error", message=check.detail)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))
