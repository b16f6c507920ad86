"""Faults by script: which request fails, and how; and somebody else who changes the app meanwhile (S3)."""

from core.sandbox.faults.fault import Fault, Kind
from core.sandbox.faults.saboteur import Saboteur
from core.sandbox.faults.script import Faults, Met

__all__ = ["Fault", "Faults", "Kind", "Met", "Saboteur"]
