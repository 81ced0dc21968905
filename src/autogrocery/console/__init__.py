"""The operator's console: pages in a browser over the operator's API of a gateway, in a process of its own."""
