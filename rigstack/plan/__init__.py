"""Observe, decide, act: the deciding part. Pure: no engine, no clock, no disk (a test holds that)."""
