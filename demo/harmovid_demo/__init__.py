"""The demo: a short EXR shot with known truth, sent through a real server, shown before and after."""
