"""Evaluation of a trained tagger: metrics, scores, plots, tables."""
