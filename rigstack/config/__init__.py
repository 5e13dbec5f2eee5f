"""rig.toml and project settings: from text to frozen models, with every mistake named at once."""
