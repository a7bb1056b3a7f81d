"""Faults injected into real processes, and what became of each run.

row.py       what a row of the table is, and what an injection tells
workers.py   warm processes with limits of time and memory, started again when they die
runs.py      the small training run that is killed, and how to start it
child.py     a training process that kills itself at a named point of a save
...          one file for each kind of fault
table.py     runs the rows, keeps what is done, prints and writes the table
"""

from experiments.faults.table import faults as faults
