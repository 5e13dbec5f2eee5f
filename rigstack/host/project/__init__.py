"""Reads a project's repository: which of its files go into its image, and what of them rigstack cannot honour."""
