"""Kernels whose clients in the server do not take each other's place.

All clients that a kernel manager makes have its session, whose id is also the identity of their sockets, and a kernel
hands an identity over to whoever connects last (ipykernel sets ROUTER_HANDOVER). So a client of a moment, like the
resource monitor's at each page that is opened, would cut off the one that runs the notebooks' cells: these then wait
for ever.
"""

from __future__ import annotations

from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.session import new_id
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager


class KernelManager(ServerKernelManager):
    """Gives each of its clients a session of its own, with the kernel's key."""

    def client(self, **kwargs: Any) -> AsyncKernelClient:
        session = self.session.clone()
        session.session = new_id()
        return super().client(**{"session": session, **kwargs})
