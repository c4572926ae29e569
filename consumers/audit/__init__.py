"""Answers for people who ask afterwards: what happened, why, and whether the log is what it was."""
