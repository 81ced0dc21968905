"""The Autonomous Grocery Network: ordering gateway and reference peers."""
