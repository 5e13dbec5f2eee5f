"""A rigstack that kills itself with SIGKILL at a chosen step: `python -m tests.killed_up STEP SECONDS -- WORDS`.

STEP counts the steps of all rounds from 1. SECONDS 0: just before the step; else that long into it, from a
thread, so that whatever the step has started by then is left behind as a crash would leave it. A run that
ends before its time comes ends as rigstack does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from rigstack.__main__ import main
from rigstack.engine.execute import Execution
from rigstack.plan.steps import Step


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(doomed: int, seconds: float) -> None:
    """Makes every Execution of this process count its steps and end with the process at step `doomed`."""
    real, done = Execution._do, 0

    def counted(self: Execution, step: Step) -> None:
        nonlocal done
        done += 1
        if done == doomed:
            if not seconds:
                die()
            clock = threading.Thread(target=lambda: (time.sleep(seconds), die()), daemon=True)
            clock.start()
        real(self, step)
        if done == doomed:
            die()  # the step was over sooner than that: its very end is a moment as good as any

    Execution._do = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    kill_at(int(sys.argv[1]), float(sys.argv[2]))
    sys.argv = ["rigstack", *sys.argv[sys.argv.index("--") + 1 :]]
    main()
