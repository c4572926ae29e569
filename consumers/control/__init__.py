"""The control worker: start reading at `handle.py`."""
