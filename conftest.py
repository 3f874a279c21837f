pytest_plugins = [
    "pytester",
    "tests.harness",
    "tests.worlds",
    "tests.compatibility",
    "tests.timelines",
    "tests.slow",
]
