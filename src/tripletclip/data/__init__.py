"""Pairs and triplets on disk: the record, the shards, the deterministic loader."""
