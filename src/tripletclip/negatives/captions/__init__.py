"""Writers of hard-negative captions."""
