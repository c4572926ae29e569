"""The notification service: the first executor. It sends a notice only on its own taken grant."""
