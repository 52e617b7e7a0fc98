"""Recipes: functions that return a frozen config."""
