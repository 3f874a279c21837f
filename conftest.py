pytest_plugins = ["pytester", "tests.harness"]
