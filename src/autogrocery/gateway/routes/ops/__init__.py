"""The routes of operators below /internal/ops."""
