"""Import of trained weights from the repositories of the papers: one file a repository, and what they share."""
