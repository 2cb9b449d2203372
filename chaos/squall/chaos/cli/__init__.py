"""The harness's subcommands of ``squall``."""
