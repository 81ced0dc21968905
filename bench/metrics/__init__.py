"""What a metric costs, from the gateway's publisher to the report: `make bench-metrics`."""
