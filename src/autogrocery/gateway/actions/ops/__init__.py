"""What operators ask for and do."""
