"""Effects on the GPU host: the engine's set-up, GPUs, keys, locks and files."""
