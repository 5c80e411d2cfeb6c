"""`python -m fineq`: as the command `fineq`."""

from fineq.cli import main

if __name__ == "__main__":
    main()
