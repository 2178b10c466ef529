"""What parttag offers in Python and to its own command line: one verb, one function, one command.

``jets`` reads, makes and looks at jets and needs no torch; ``runs`` trains and uses networks;
``register`` adds networks, objectives, features, metrics and readers of other packages.
"""
