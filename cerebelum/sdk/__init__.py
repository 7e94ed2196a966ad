"""What programs use: `ExecutionClient`, one method per verb; the command line goes through it as everybody does.

May import `engine` and below.
"""
