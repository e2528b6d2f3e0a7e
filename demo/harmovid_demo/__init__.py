"""The demo: renders a short EXR shot with known truth, sends it through a real server, shows before and after."""
