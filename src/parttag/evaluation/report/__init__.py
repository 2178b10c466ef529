"""The report of one run or several: one page that opens in a browser without network."""
