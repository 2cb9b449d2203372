"""A real browser for the pages, and what is measured in it: overlap, clipping, what is beyond the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SIZES = ((1280, 900), (768, 1024), (390, 844))

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

TEXT_PX_MIN = 10

CONTRAST_MIN = 4.5
"""What WCAG 2.1 asks of text at level AA."""

WORDS = """() => [...document.querySelectorAll("svg")].filter(svg => svg.clientWidth > 0).flatMap(
  (svg, drawing) => [...svg.querySelectorAll("text")].map(text => {
    const place = text.getBoundingClientRect(), frame = svg.getBoundingClientRect();
    const scale = frame.width / svg.viewBox.baseVal.width;
    return {
      drawing, words: text.textContent, size: parseFloat(getComputedStyle(text).fontSize) * scale,
      left: place.left, right: place.right, top: place.top, bottom: place.bottom,
      inside: place.left >= frame.left - 1 && place.right <= frame.right + 1
        && place.top >= frame.top - 1 && place.bottom <= frame.bottom + 1,
    };
  }))"""
"""Every word in the drawings that are shown: its effective size in CSS pixels and its box."""

LINES = """() => {
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = walker.nextNode());) {
    const around = text.parentElement;
    if (!text.data.trim() || around.closest("title") || !around.checkVisibility()) continue;
    if (around.closest("svg") && around.closest("svg").clientWidth === 0) continue;
    const box = around.closest(".scroll, pre")?.getBoundingClientRect();
    const range = document.createRange();
    range.selectNodeContents(text);
    for (const line of range.getClientRects()) {
      if (line.width < 1) continue;
      const left = box ? Math.max(line.left, box.left) : line.left;
      const right = box ? Math.min(line.right, box.right) : line.right;
      if (left >= right) continue;
      found.push({words: text.data.trim().slice(0, 60), left, right, top: line.top, bottom: line.bottom});
    }
  }
  return found;
}"""
"""Every line of text that is seen: its words and its box, as far as the box it scrolls in shows it."""

FAINT = """() => {
  const rgba = color => {
    const [r, g, b, a = 1] = color.match(/[0-9.]+/g).map(Number);
    return {r, g, b, a};
  };
  const light = ({r, g, b}) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color.a === 1) return color;
    }
    return {r: 255, g: 255, b: 255};
  };
  const faint = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest("title")) continue;
    if (element.matches(".on-leading")) continue;  // it stands on a bar, which is no background
    const style = getComputedStyle(element);
    const ink = element.closest("svg") ? style.fill : style.color;
    const [one, other] = [light(rgba(ink)), light(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < MIN) faint.add(`${element.tagName}.${element.getAttribute("class")}: ${ratio.toFixed(2)}`);
  }
  return [...faint];
}""".replace("MIN", str(CONTRAST_MIN))
"""The elements with text that is too faint on what is behind it."""

BOXES = """(selector) => [...document.querySelectorAll(selector)].map(cell => {
    const box = cell.getBoundingClientRect();
    return {words: cell.textContent, left: box.left, right: box.right, height: box.height};
  })"""
"""Every element that a selector finds: its words and its box."""

BEYOND = """() => [...document.querySelectorAll("body *")].filter(element => {
    if (!element.checkVisibility() || element.closest(".scroll table, pre code, title, svg *")) return false;
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.left < -1 || box.right > innerWidth + 1);
  }).map(element => `${element.tagName}.${element.getAttribute("class")}`)"""
"""The elements that reach beyond the page, but for what scrolls in a box of its own."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """For one test only: while it is there, its thread has an event loop that runs, and can run no other."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        reason = f"no Chromium: none of {', '.join(CHROMIUM)} is in PATH"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


def opened(
    browser: Browser, page: Path, width: int, height: int, scheme: Scheme = "light"
) -> tuple[Page, list[str]]:
    """The page at a width, and what went wrong on the way, or was asked of any other place."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, offline=True, color_scheme=scheme
    )
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    tab.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    tab.on(
        "request", lambda request: wrong.extend([f"asked: {request.url}"] * (request.url != page.as_uri()))
    )
    tab.goto(page.as_uri())
    return tab, wrong


def misplaced(tab: Page) -> list[str]:
    """What is wrong with how a page is laid out, in words: nothing, if all can be seen and read."""
    width = tab.evaluate("innerWidth")
    words, lines = tab.evaluate(WORDS), tab.evaluate(LINES)
    assert len(lines) > 20, "a page has words"
    found = []
    if tab.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("it scrolls sideways")
    found += [f"too small: {word['words']}" for word in words if word["size"] < TEXT_PX_MIN]
    found += [f"outside of its drawing: {word['words']}" for word in words if not word["inside"]]
    found += [f"beyond the page: {name}" for name in tab.evaluate(BEYOND)]
    found += [f"cut off: {line['words']}" for line in lines if line["left"] < -1 or line["right"] > width + 1]
    found += [f"on each other: {one} | {other}" for one, other in overlapping(lines)]
    return found + [f"too faint: {name}" for name in tab.evaluate(FAINT)]


def overlapping(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Words that stand on each other, by more than the empty border of a letter."""
    ordered = sorted(lines, key=lambda line: line["top"])
    found = []
    for place, one in enumerate(ordered):
        for other in ordered[place + 1 :]:
            if other["top"] >= one["bottom"] - 3:
                break
            across = min(one["right"], other["right"]) - max(one["left"], other["left"])
            if across > 1 and min(one["bottom"], other["bottom"]) - other["top"] > 3:
                found.append((one["words"], other["words"]))
    return found
