"""The commands of the command line; `__main__` only parses their arguments."""
