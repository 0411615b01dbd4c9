"""`mpo data`: preference datasets as files."""
