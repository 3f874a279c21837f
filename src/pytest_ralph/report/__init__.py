"""The report: a fold over verdicts, and one file per output."""
