"""Text from values: compose overlay, Caddy sites, authorized keys, DDNS configuration. Pure (a test holds that)."""
