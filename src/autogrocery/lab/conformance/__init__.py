"""The conformance kit: drives an inventory or a pricing written by anybody, through gRPC only, and says what it found."""

from autogrocery.lab.conformance.line import Line, Outcome, Result
from autogrocery.lab.conformance.options import Options
from autogrocery.lab.conformance.run import Report, UnreachableError, check_inventory, check_pricing

__all__ = ["Line", "Options", "Outcome", "Report", "Result", "UnreachableError", "check_inventory", "check_pricing"]
