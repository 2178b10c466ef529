"""The meeting place of ranks on one machine: a file that only its user may open.

A port could be taken by another before they have it, and all of the network may come to one.
"""

RENDEZVOUS = "PARTTAG_RENDEZVOUS"
"""The variable with the file's path, in the environment of these ranks and of no others."""
