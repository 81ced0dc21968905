"""What an order costs: load, featherweight peers, pgbench beside it, and the page that tells the figures."""

import os

from autogrocery.kit.rpc import environ

environ.prepare(os.environ)  # in every process of ours, as the command line does for every role
