"""The mirror: records shown where a team looks. What is there can be thrown away and made again from git.

run.py          a run as any server shows it: plain data
projection/     of each design a parent run, of each experiment a child: made of studies and records
pages.py        the texts and pictures that go along, which lab.report makes
sink.py         where runs are put: a Protocol, and the known ones by name; conformance.py tests one of your own
mlflow/ wandb/  a sink each
mirror.py       brings the projections of all designs to the sinks; background.py does it beside `lab run`
"""
