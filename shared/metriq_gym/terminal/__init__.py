"""What a person at a terminal reads: jobs in words and tables, progress, plots.

Nothing here parses a command line (`cli` does) or changes anything.
"""
