"""What is asked of the machine: clocks, processes, temporary folders, the user's environment, where a run happens.

May import `core`.
"""
