"""What everything that a user waits for costs, beside what they would use instead, in the same run.

    make bench                                    all of it: a table, and a file under benchmarks/results/
    make bench SCENARIO='startup chains'          these
    make bench BENCH_FLAGS=--quick                with fewer and smaller rounds
    make bench-check                              instructions counted, and compared with the recorded ones

The modules of `scenarios/` each measure one thing; the `service_*.py` are programs of their own.
"""
