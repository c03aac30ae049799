"""Whole models: layers stacked, with an encoder and a head."""
