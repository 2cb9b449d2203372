"""What is told of a verdict: table, trace, page, JUnit."""
