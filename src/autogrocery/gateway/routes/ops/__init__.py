"""The routes below /internal/ops, for operators."""
