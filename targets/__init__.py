"""What a device is and allows: one TOML file each, no logic."""
