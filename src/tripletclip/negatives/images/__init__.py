"""Painters of hard-negative images and checks of their pictures."""
