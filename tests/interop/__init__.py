"""Plain peers in another language, checked by the kit and used by a real gateway: `make interop`."""

import os

from autogrocery.kit.rpc import environ

environ.prepare(os.environ)  # before gRPC is loaded, as the command line does
