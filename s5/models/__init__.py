"""Complete models: an encoder, a stack of layers and a head."""
