"""Toxiproxy's server: pinned, found or built, run and watched."""

from squall.chaos.inject.toxiproxy.find import VERSION, Program, Progress, find_toxiproxy, installed
from squall.chaos.inject.toxiproxy.server import Toxiproxy, check_port

__all__ = ["VERSION", "Program", "Progress", "Toxiproxy", "check_port", "find_toxiproxy", "installed"]
