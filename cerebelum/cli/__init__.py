"""The command line: one small module per verb, each imported when that verb is called."""
