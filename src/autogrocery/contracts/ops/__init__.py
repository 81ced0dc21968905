"""The operator's API, field for field: what the gateway answers below /internal/ops and what a client of it reads."""
