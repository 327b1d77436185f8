"""The demo: an agent that controls a simulated Tennessee Eastman plant. Needs the extra `demo`."""
