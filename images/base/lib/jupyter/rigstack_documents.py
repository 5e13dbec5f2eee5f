"""The store of open documents, so that it can be read again after a restart.

Two faults of what is below it (jupyter-server-ydoc 3.0.4, pycrdt-store 0.1.5): a room writes the document's path into
it before anything is stored, and what is stored later builds on that, so that a second start finds changes without what
they change; and shortening a history leaves its content out where nothing is compressed. A notebook then shows outputs
twice, and cells without a number.
"""

from __future__ import annotations

from typing import Any

from jupyter_server_ydoc.stores import SQLiteYStore
from pycrdt import Doc


class DocumentStore(SQLiteYStore):
    """SQLiteYStore that misses nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_compression_callbacks(bytes, bytes)

    async def apply_updates(self, ydoc: Doc) -> None:
        begun = ydoc.get_update()
        await super().apply_updates(ydoc)
        await self.write(begun)
