"""The wire and what speaks it: schema, encoding, connections, transfers and the runner of one job. No pixels."""
