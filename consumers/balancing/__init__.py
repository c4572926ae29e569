"""The balancer: it hands review tasks to who may decide them, and caps who has decided too many.

It has no authority: it sends ordinary signed commands, which the worker judges like any other's.
"""
