"""The way from this machine to the internet: its LAN, its router, and what the world sees of it."""
