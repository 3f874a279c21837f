"""The simulated world: clock, network and log seams, and the simulated services behind them."""
