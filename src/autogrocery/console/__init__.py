"""The operator's console: pages in a browser over the operator's API of a gateway, in a process of its own."""

import os

# Read when NiceGUI is imported. Nothing is stored, as sessions are in memory; its default, a relative place, is looked
# up in the current folder, which may be gone.
os.environ["NICEGUI_STORAGE_PATH"] = "/nonexistent/console"
