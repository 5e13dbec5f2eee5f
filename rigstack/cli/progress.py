"""Progress of a plan: a live view on a terminal, plain lines elsewhere. Only `up` pays for importing it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rigstack.cli import console
from rigstack.engine.execute import Reporter
from rigstack.plan.steps import BuildImages, Step


@contextlib.contextmanager
def reporter() -> Iterator[Reporter]:
    """The right reporter for this stderr, for the length of the block."""
    if not console.colours(sys.stderr):
        yield PlainReporter()
        return
    from rich.console import Console
    from rich.live import Live

    live = LiveReporter()
    screen = Console(stderr=True)
    with Live(live, console=screen, refresh_per_second=10, transient=True) as view:
        live.screen = view.console
        yield live


class PlainReporter:
    """A line when a step begins, a line for each thing it tells."""

    def begin(self, number: int, total: int, step: Step) -> None:
        console.note(f"[{number}/{total}] {step} - {step.cause}")

    def tell(self, words: str) -> None:
        console.note(f"    {words}")

    def show(self, words: str) -> None:
        console.note(words)

    def build_line(self, image: str, words: str) -> None:
        console.note(f"    {image} | {words}")

    def end(self, number: int, total: int, step: Step, seconds: float) -> None:
        if seconds >= 1:
            console.note(f"    done in {seconds:.1f} s")


@dataclass(kw_only=True)
class LiveReporter:
    """Finished steps stay as lines; the present one has a clock and, while building, one line an image."""

    screen: Any = None
    step: Step | None = None
    title: str = ""
    started: float = 0.0
    builds: dict[str, str] = field(default_factory=dict)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=4))

    def begin(self, number: int, total: int, step: Step) -> None:
        self.step, self.started = step, time.monotonic()
        self.title = f"[{number}/{total}] {step}"
        self.builds = {image.name: "waiting" for image in step.images} if isinstance(step, BuildImages) else {}
        self.recent.clear()

    def tell(self, words: str) -> None:
        self.recent.append(words)

    def show(self, words: str) -> None:
        from rich.text import Text

        self.screen.print(Text(words, style="bold"), soft_wrap=True)

    def build_line(self, image: str, words: str) -> None:
        self.builds[image] = words

    def end(self, number: int, total: int, step: Step, seconds: float) -> None:
        from rich.text import Text

        self.step = None
        line = Text("✓ ", style="green")
        line.append(f"{step}", style="default")
        line.append(f"  {step.cause}  {seconds:.1f} s", style="dim")
        self.screen.print(line, overflow="ellipsis", no_wrap=True)

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        if self.step is None:
            return Text("")
        seconds = time.monotonic() - self.started
        rows = [Text(f"… {self.title}  {seconds:.0f} s", style="bold", overflow="ellipsis", no_wrap=True)]
        rows += [
            Text(f"    {name:<16} {words}", style="dim", overflow="ellipsis", no_wrap=True)
            for name, words in self.builds.items()
        ]
        rows += [Text(f"    {words}", style="dim", overflow="ellipsis", no_wrap=True) for words in self.recent]
        return Group(*rows)
