"""The meaning of it all: facts (model, events), and pure functions from facts to what follows.

`evolve` says what happened, `decide` what follows from it; nothing here looks at a clock, a file, a store or a process.
May import nothing but itself and msgspec.
"""
