"""Run one of our modules: `python -P run.py MODULE ARGUMENTS...`, whatever folder it is started in.

With `-m` alone a folder `schemas` or `streams` where the user happens to be would be taken for ours.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[2]))
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
