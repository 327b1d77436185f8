"""An agent: a bundle of services that are started, stopped and judged together."""
