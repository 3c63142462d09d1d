"""What varies: parameters, the space of a YAML file, its extreme recipes, the unit cube."""
