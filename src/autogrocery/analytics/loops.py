"""What the clock and the bus start."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.actions.fill_gaps import fill_gaps
from autogrocery.analytics.actions.take_frames import take_frames
from autogrocery.analytics.actions.tell import print_line, write_status
from autogrocery.kit.process.loops import Loop

if TYPE_CHECKING:
    from autogrocery.analytics.core.tally import Tally
    from autogrocery.analytics.peers.frames import Frames
    from autogrocery.analytics.peers.log import Log

AGAIN_AFTER_ERROR_S: Final = 0.5
FILL_EVERY_S: Final = 2.0
PRINT_EVERY_S: Final = 5.0
WRITE_EVERY_S: Final = 1.0


def table(frames: Frames, log: Log, tally: Tally, status_file: str) -> list[Loop]:
    """Return the loops of the engine; figures are written only if there is a file for them."""
    loops = [
        Loop("frames", AGAIN_AFTER_ERROR_S, partial(take_frames, frames, tally)),
        Loop("gaps", FILL_EVERY_S, partial(fill_gaps, log, tally)),
        Loop("print", PRINT_EVERY_S, partial(print_line, tally)),
    ]
    if status_file:
        loops.append(Loop("status", WRITE_EVERY_S, partial(write_status, tally, Path(status_file))))
    return loops
