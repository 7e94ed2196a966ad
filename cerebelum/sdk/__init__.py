"""What programs use: `Verbs`, one method per verb; the command line goes through it as everybody does.

May import `engine` and below.
"""
