"""Layers in use, their events and their objects, without a model."""
