"""The wire protocol: schema, encoding, connections, transfers and the runner of one job. No pixels."""
