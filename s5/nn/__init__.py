"""Building blocks that every model shares: dense layers, norms, gates, heads, initializers."""
