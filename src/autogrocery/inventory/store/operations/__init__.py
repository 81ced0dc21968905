"""What operators read: statements that only read, each for one page."""
