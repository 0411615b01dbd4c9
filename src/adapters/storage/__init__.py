"""Files: written whole, sealed by hashes, locked by folder; agents, objectives, runs and datasets."""
