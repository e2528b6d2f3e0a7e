"""The fetch process: frames from shared storage into the spool. Runs only where roots are set."""
