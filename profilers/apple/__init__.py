"""Core ML: measured on a Mac, or by a script that is taken to one."""
