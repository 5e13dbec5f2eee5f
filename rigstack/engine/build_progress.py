"""Reads what buildx prints while it builds, into who does what and what each step said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class PlainProgress:
    """Reads buildx's plain progress: "#7 [target 3/9] RUN ...", "#7 1.23 output", "#7 ERROR: ...".

    only: the one target of the build, if there is but one; buildx then leaves its name out.
    """

    on_line: Callable[[str, str], None]
    only: str = ""
    targets: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    output: dict[str, list[str]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    succeeded: bool = False

    def read(self, line: str) -> None:
        """Takes one line."""
        if line == "exit: 0":
            self.succeeded = True
            return
        found = re.match(r"#(\d+) (.*)", line)
        if found is None:
            if line.startswith("ERROR:"):
                self.errors.append(line.removeprefix("ERROR:").strip())
            return
        vertex, words = found.groups()
        title = re.match(r"\[([\w.-]+)(?: ([\w.-]+))?(?: +\d+/\d+)?\] (.*)", words)
        if title:
            if self.titles.get(vertex) == words:
                return  # said again when the output goes back to this step
            self.targets[vertex] = self.only or title.group(1)
            self.titles[vertex] = words
            self.output.pop(vertex, None)  # numbers start anew when the build proper begins
            if not title.group(3).startswith(("load ", "exporting")):
                self.on_line(self.targets[vertex], brief(title.group(3)))
        elif words.startswith("ERROR:"):
            self.failed.append(vertex)
            self.errors.append(words.removeprefix("ERROR:").strip())
        elif not re.match(r"(DONE|CACHED|CANCELED|sha256:|transferring|\.\.\.$)", words):
            self.output.setdefault(vertex, []).append(re.sub(r"^\d+\.\d+ ", "", words))


def brief(instruction: str) -> str:
    """A Dockerfile instruction as a person wants to see it go by: no mounts, one line."""
    words = " ".join(re.sub(r"--mount=\S+", " ", instruction).split())
    return words if len(words) <= 100 else words[:97] + "..."
