"""A stand-in HubSpot for the demo, tests and mapping authors (level 4): the Leads API v1, kept in memory."""

from __future__ import annotations

from integration.sandbox.control import create_sandbox
from integration.sandbox.server import SandboxError, SandboxServer, run_sandbox

__all__ = ["SandboxError", "SandboxServer", "create_sandbox", "run_sandbox"]
