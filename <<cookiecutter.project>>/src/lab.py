"""The launcher of an environment from before November 2026 calls this file; `make setup` makes one that calls the package."""

from lab.cli import main  # the package beside this file, which goes before a module of the same name

if __name__ == "__main__":
    main()
