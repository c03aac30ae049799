"""Generators of data by published procedures. The data have the published distribution, some also the published draws.

Results call such data "regenerated", since the published files contain other samples.
"""
