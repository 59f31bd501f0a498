"""From a question in designs/ to its answer: lab --help.

lab check designs/detection_baseline.yaml               is the launcher's name (make setup)
python src/lab.py check designs/detection_baseline.yaml is the same
"""

from project import load

if __name__ == "__main__":
    load("cli").main()
