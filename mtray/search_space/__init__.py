"""The search space: its parameters, the reader of YAML files, its extreme recipes, and the unit
cube."""
