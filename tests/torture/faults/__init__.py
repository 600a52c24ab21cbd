"""What is done to a cluster: `toxics` and `links` to its connections, `catalog` to its processes and servers.

The nouns: a *toxic* says what a link does with bytes; a *link* is a TCP proxy between two parts of the cluster; a
*fault* is chosen with all its particulars from the seed, injected, and healed; a *schedule* says when.
"""
