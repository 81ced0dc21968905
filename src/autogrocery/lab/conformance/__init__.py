"""The conformance kit: checks an inventory or a pricing that anybody has written, through gRPC only."""

from autogrocery.lab.conformance.line import Line, Outcome, Result
from autogrocery.lab.conformance.options import Options
from autogrocery.lab.conformance.run import Report, UnreachableError, check_inventory, check_pricing

__all__ = ["Line", "Options", "Outcome", "Report", "Result", "UnreachableError", "check_inventory", "check_pricing"]
