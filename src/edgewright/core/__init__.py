"""The ground floor: errors, registry, tensor specs, model handles, bundles, files and JSON. Needs numpy alone."""
