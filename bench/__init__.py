"""What an order costs: load, featherweight peers, pgbench beside it, and the page that tells the figures."""
