"""Effects on the person's own machine: ssh, kept connections, mounts, sync, wake."""
