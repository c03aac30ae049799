"""Images: the catalog docker/images.yaml; building, finding, converting, pushing, pulling and removing images."""
