"""Images: what docker/images.yaml names, how one is built, resolved, converted, moved and checked."""
