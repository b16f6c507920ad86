"""Faults by script: which request fails, and how; and when somebody else changes the tenant meanwhile (S3)."""

from core.sandbox.faults.fault import Fault, Kind
from core.sandbox.faults.script import Faults, Met

__all__ = ["Fault", "Faults", "Kind", "Met"]
