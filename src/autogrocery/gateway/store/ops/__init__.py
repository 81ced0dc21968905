"""What operators read: bounded by an index, by time, or by a number of rows."""
