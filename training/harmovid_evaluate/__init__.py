"""Evaluation: test sets with known truth, methods as rows of a table, measures, a report, and a preference study.

`harmovid evaluate` runs it (docs/evaluate.md). torch is imported only by the measures and rows that need it, so benches
can use the other modules without loading it.
"""
