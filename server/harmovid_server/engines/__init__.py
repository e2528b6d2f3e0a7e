"""Engines: each looks at small proxies of a shot and answers with lighting fields. `base` holds the contract."""
