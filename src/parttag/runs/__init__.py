"""Configurations, training runs and the directories that they leave."""
