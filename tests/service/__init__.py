"""The service as it runs: a process, its stores, and both platforms over real HTTP."""
