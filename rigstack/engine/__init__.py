"""The one door to Docker: observe, build, start, stop, exec."""
