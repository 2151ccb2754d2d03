"""The deliverable: a zip of engine, manifest, journal and golden samples; the same bytes for the same content."""
