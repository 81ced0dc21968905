"""Gateways that come and go while devices order."""
