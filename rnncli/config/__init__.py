"""The config, its YAML file, and the objects that it names."""
