"""Requests to a model: batches, generation, likelihood."""
