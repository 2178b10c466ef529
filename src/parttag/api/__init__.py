"""The interface of parttag, in Python and for its command line: one verb, one function.

``jets`` reads, makes and looks at jets and needs no torch; ``runs`` trains and uses networks;
``register`` adds networks, objectives, features, metrics and readers of other packages.
"""
