"""What the `lab` of an environment from before src/lab calls; `make setup` makes one that calls the package itself."""

import sys

if __name__ == "__main__":
    try:
        from lab.cli import main  # the package beside this file, which goes before a module of the same name

        main()
    except ModuleNotFoundError as missing:
        if not missing.name or missing.name.partition(".")[0] == "lab":
            raise
        sys.exit(f"lab: the environment is older than the code, {missing.name} is not installed: make setup")
