"""Values and pure functions: what skills, scenarios, timelines and verdicts are. Standard library only."""
