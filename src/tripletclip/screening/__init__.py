"""Scores of triplets, selection by them, and the audit of what they give away."""
