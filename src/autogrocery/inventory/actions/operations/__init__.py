"""What operators ask: each only reads, on connections apart from those of orders."""
