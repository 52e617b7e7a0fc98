"""CLIP that reads word order: hard-negative captions and images, and training on both."""
