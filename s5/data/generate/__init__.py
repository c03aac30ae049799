"""Data that a published procedure makes: the same distribution, and where it says so the same draws.

What is made here is called regenerated wherever it is reported, since the published files hold other samples.
"""
