"""The built-in executors and optional verbs: each a module that adds itself through the hooks anybody may use."""
