"""Encoders give scores, benchmarks decide; ties lose."""
