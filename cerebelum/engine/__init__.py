"""The loop that drives executions: who owns one, how it is started, gone on with, taken over, and asked from outside.

May import `core`, `host`, `definition`, `store` and `steps`.
"""
