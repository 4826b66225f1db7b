"""The turns of a packet capture, whatever is said in them, with no knowledge of slowburn.

usage: pair_turns.py CAPTURE PORT
Prints one line a turn, in the form of pair.py: nothing for method and path, `answered`, and the nanoseconds from the
last byte that the client sent to the first that the server sent after it.
"""

from pair import main


def turns(asking, answering):
    said = [(at, "asked") for at in asking.times] + [(at, "answered") for at in answering.times]
    asked = None
    for at, what in sorted(said):
        if what == "asked":
            asked = at
        elif asked is not None:
            yield "-", "-", "answered", at - asked
            asked = None


main(turns)
