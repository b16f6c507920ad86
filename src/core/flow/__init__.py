"""Flows: steps that look before they act, a journal that survives a crash, and waits that say what they wait for."""
