"""Known-bad variants, of services and of the harness itself, that the checks must catch.

A package brings the variants of a pattern of its own by the entry point group ``squall.mutants``, whose value
is a `Catalogue`.
"""
