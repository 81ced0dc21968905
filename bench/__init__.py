"""The benchmark: load generator, minimal peers, comparison with pgbench, and the report page."""

import os

from autogrocery.kit.rpc import environ

environ.prepare(os.environ)  # every process of the benchmark, as the command line does for every role
