"""What a metric costs, from the status change to the row in the column store: `make bench-metrics`."""
