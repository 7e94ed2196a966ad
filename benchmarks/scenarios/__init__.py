"""One module for each thing that is measured: `measure` gets a Bench and gives the rows of its table."""
