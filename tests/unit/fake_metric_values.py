"""Doubles whose decimal digits are long, large, tiny or signed."""

VALUES = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 0.1]
