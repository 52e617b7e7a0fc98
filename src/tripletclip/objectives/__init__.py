"""Contrastive objectives as pure functions of features and ``logit_scale``."""
